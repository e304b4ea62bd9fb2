"""A long run under load with faults: is memory flat, and is every job accounted for?"""
