"""Taking mail in by SMTP (RFC 5321), and from people of the site by submission (RFC 6409, RFC 8314).

`server` opens the doors (`door`) and `receiver` says who is let in, `connection` runs a `dialogue` on aiosmtpd's class
over a `channel`: `lines` cuts what came, `command` finds what a line means, `verbs` answers it.  `handshake` and
`login` prove who speaks, `limits` says how much one client may ask for.  `beginning` reads what MAIL and RCPT say,
`recipients` who may be written to, `transaction` decides on the message.  `reception` is the phase of its octets:
`datasink` takes those of DATA and `chunksink` those of BDAT, and `intake` looks at them on
their way to the store.  Nothing here can send mail on: a recipient is a printer or a person of the directory or it is
refused.
"""
