"""Taking mail in by SMTP (RFC 5321).

`server` keeps the connections and runs the dialogue on aiosmtpd's class, `limits` says how much one client may ask for,
`transaction` decides on sender, recipients and message, `intake` and `datasink` take the octets of DATA.  Nothing here
can send mail on: a recipient is a printer of the directory or it is refused.
"""
