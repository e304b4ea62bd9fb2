"""Maildrops for printers that poll: RFC 1939 with RFC 2449 (capabilities) and RFC 3206 (response codes).

`server` listens, `connection` is Twisted's POP3 class made into a place for one task, `session` that task, `login` says
who may come in; `commands` (what a line means), `messages` (what a session sees) and `stuffing` (octets to wire) are
pure.
"""

# Before anything of twisted.mail, which would install a reactor of its own.
import appliance.reactor as _reactor  # noqa: F401
