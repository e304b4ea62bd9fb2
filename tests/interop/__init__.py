"""Foreign peers, so that our own two ends do not share one error.

Every peer is started by its test, on loopback, with its own data folder; nothing of the machine's set-up is read or
changed, and no service is started.  `.ci/packages interop` installs the programs.
"""
