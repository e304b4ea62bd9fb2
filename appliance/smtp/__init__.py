"""Taking mail in by SMTP (RFC 5321), and from people of the site by submission (RFC 6409, RFC 8314).

`server` opens the doors (`door`), `connection` runs a dialogue on aiosmtpd's class over a `channel`, `verbs` answers
commands, `handshake` and `login` prove who speaks, `limits` says how much one client may ask for, `recipients` who may
be written to, `transaction` decides on sender and message, `intake` and `datasink` take the octets of DATA.  Nothing
here can send mail on: a recipient is a printer or a person of the directory or it is refused.
"""
