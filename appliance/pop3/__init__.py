"""Maildrops for printers that poll, and for people: RFC 1939 with 2449, 2595, 3206, 5034, 6856 and 8314.

`server` listens, `balanced` where a balancer stands in front; `connection` is Twisted's POP3 class made into a place
for one task, `tls` is what may lie under it, `session` that task: first `authorization`, then `transaction`.  `login`
says who may come in and `rhythm` how often, `renewal` keeps the maildrop meanwhile; `commands` (what a line means),
`capabilities` (what CAPA says), `messages` (what a session sees) and `stuffing` (octets to wire) are pure.
"""

# Before anything of twisted.mail, which would install a reactor of its own.
import appliance.reactor as _reactor  # noqa: F401
