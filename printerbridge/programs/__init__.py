"""Programs of our own that open strangers' documents: each runs confined, as a process of its own.

They import nothing of ours, so that they start fast and need nothing but the interpreter; `converters.python` says how
they are called.  Each exits with 0 only when its whole output is written, tells `pages: N` on stdout where it makes
pages, and says in one line on stderr what is wrong with a document.
"""
