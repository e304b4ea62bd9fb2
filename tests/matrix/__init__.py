"""Every fault of a printer at every moment of a job: what Printpost says of it, beside what came out on paper.

`python -m tests.matrix` plays all of them at once and prints the table; with `--page` it writes the page of the docs.
"""
