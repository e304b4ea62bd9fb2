"""Accounts and printers, as the directory (LDAP) tells them.

`records` holds the values, `contract` what a directory must be able to do, `ldap` the client of a real one (the only
file that imports ldap3), `slapd` makes and supervises the embedded server.
"""
