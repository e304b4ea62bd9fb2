"""Accounts and printers, as the directory (LDAP) tells them.

`records` holds the values, `contract` what a directory must be able to do, `entry` makes one from the other: a record
from an LDAP entry and back.  `ldap` is the client of a real server (the only file that imports ldap3), standing on
`lines` (threads and deadlines), `cache` (what is remembered), `listing` (all printers), `results` and `url`.  `slapd`
makes and supervises the embedded server, `openldap` knows how this machine's OpenLDAP is configured, and the LDIF files
are the schema, for the embedded server and for the site's own.  `opening` chooses by the configuration.
"""
