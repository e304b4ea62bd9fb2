"""Documents of many producers and kinds, made by scripts or read from Debian's packages, for `tests/test_corpus.py`.

Each function that makes one says in its docstring what it is for.  Nothing is kept: they are made when they are wanted,
once in a process.
"""
