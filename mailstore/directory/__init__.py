"""Accounts of printers and people, as the directory (LDAP) tells them.

`records` holds the values, `contract` what a directory must be able to do.  `entry` (printers) and `person` make one
from the other, a record from an LDAP entry and back, by the readers in `values`.

`ldap` is the client for printers; `people` the one for people, over `own_people` (whom Printpost keeps) and
`site_people` (whom the site's own directory knows).  They stand on `accounts` (what is written), `logins` (passwords),
`cache` (what is remembered) and `listing` (all printers).  `server` is the connection to an LDAP server (the only file
that imports ldap3), with `lines` (threads and deadlines), `results` and `url`.

`slapd` makes and supervises the embedded server, `openldap` knows how this machine's OpenLDAP is configured, and the
LDIF files are the schema, for the embedded server and for the site's own.  `opening` chooses by the configuration;
`turn` lets one change come after the other.
"""
