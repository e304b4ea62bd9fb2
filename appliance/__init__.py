"""What a stranger can reach: SMTP, POP3, the commands and the metrics.  It listens; it never touches a printer.

A message's way in: `smtp.server` runs the dialogue, `policy` says who may print where, `smtp.datasink` takes the octets
while `mailstore.mime` looks on, `trace` adds our fields, the store makes it durable, and only then "250" is said.  A
printer that polls fetches its mail from `pop3.server`; for all others the bridge, another process, drains the maildrop.
"""
