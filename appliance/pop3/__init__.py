"""Maildrops for printers that poll, and for people: RFC 1939 with 2449 (CAPA), 2595 (STLS) and 3206 (response codes).

`server` listens, `connection` is Twisted's POP3 class made into a place for one task, `tls` is what may lie under it,
`session` that task; `login` says who may come in and `rhythm` how often, `renewal` keeps the maildrop meanwhile;
`commands` (what a line means), `messages` (what a session sees) and `stuffing` (octets to wire) are pure.
"""

# Before anything of twisted.mail, which would install a reactor of its own.
import appliance.reactor as _reactor  # noqa: F401
