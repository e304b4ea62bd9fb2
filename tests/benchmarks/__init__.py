"""How fast it is, beside what does the same job elsewhere.

    python -m tests.benchmarks [--quick] [NAME...]

Nothing here fails for being slow: figures are printed, people judge.  What it does check is that every mail was
answered and every octet came out, since a fast loss is no speed.
"""
