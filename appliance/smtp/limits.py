"""How much one client, and all of them, may ask for.

Security: these numbers are what stands between a stranger and our memory, descriptors and patience.  A client is
what `peer.customer` says.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from appliance.peer import Address, Network, customer, end_site, within
from mailstore.config import Settings

CUSTOMERS: Final = 10_000
"""How many a `Pace` remembers; those it has not seen for longest are forgotten first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Octets, seconds and counts."""

    connections: int = 1000
    connections_per_address: int = 50
    connections_per_network: int = 100  # of an IPv6 /64; an IPv4 address is its own network
    recipients: int = 100  # RFC 5321 section 4.5.3.1.8 asks for as many
    messages: int = 1000  # by one connection
    messages_per_minute: int = 300  # by one client who is neither of the site nor logged in; 0: any number
    errors: int = 20  # refused commands before the connection is closed; an accepted message wipes them out
    idle_commands: int = 100  # NOOP, RSET and the like between two accepted messages
    line: int = 2048  # of a command, CRLF included; 512 of RFC 5321 and what its extensions add
    input: int = 65536  # of pipelined commands that wait; more stays in the kernel
    command_seconds: float = 300.0  # RFC 5321 section 4.5.3.2.7: at least five minutes
    data_seconds: float = 180.0  # the patience that data begins with, and the most it ever has
    data_rate: int = 500  # octets that buy one second of patience; 0: any octet buys all of it
    reply_seconds: float = 60.0  # for a client that does not read what we say
    handshake_seconds: float = 30.0
    proxy_seconds: float = 5.0  # for a balancer to say whom it brings
    parting_seconds: float = 2.0  # for a client to take our last words and close
    excess: int = 64 << 20  # octets past the largest size that are still swallowed for a reply's sake
    hops: int = 50  # Received fields
    header: int = 256 << 10  # octets of a message's header
    mime_depth: int = 20  # of parts in parts
    logins: int = 3  # wrong ones before the connection is closed
    login_seconds: float = 3600.0  # for which a login is believed: a password may be changed meanwhile
    denial_seconds: float = 1.0  # what a wrong login costs
    postmaster_octets: int = 256 << 10  # of a message
    postmaster_hourly: int = 20  # messages of all strangers, and as many of all people of the site
    postmaster_hourly_per_client: int = 5

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """What `[limits]` says; all else is as above."""
        given = settings.limits
        return cls(
            connections=given.connections,
            connections_per_address=given.connections_per_address,
            connections_per_network=given.connections_per_network,
            recipients=given.recipients,
            messages=given.messages_per_connection,
            messages_per_minute=given.messages_per_minute,
            errors=given.errors,
            command_seconds=given.command_wait,
            data_seconds=given.data_stall,
            data_rate=given.data_rate,
            hops=given.received_fields,
            header=given.header_size,
            mime_depth=given.mime_depth,
        )


class Gate:
    """Counts the connections that are open: in all, of each address, of each customer, of each IPv6 /48.

    A /48, which anybody gets who asks for it, has no more than half of all, so that others come in beside it.
    """

    def __init__(self, limits: Limits, *, exempt: Iterable[Network] = ()) -> None:
        """`exempt` are addresses behind which many stand: only the count of all holds for them."""
        self._limits = limits
        self._exempt = tuple(exempt)
        self._open: Counter[Address | int | tuple[int]] = Counter()  # by address, by customer, by /48
        self.total = 0

    def enter(self, ip: Address) -> str:
        """ "" and the connection is counted until `leave`, or why it is refused: one of `REFUSALS`."""
        if self.total >= self._limits.connections:
            return "total"
        if not within(ip, self._exempt):
            if self._open[ip] >= self._limits.connections_per_address:
                return "address"
            if self._open[customer(ip)] >= self._limits.connections_per_network:
                return "network"
            if (site := end_site(ip)) is not None and self._open[site,] >= (self._limits.connections + 1) // 2:
                return "network"
        self.total += 1
        self._open.update(_counted(ip))
        return ""

    def leave(self, ip: Address) -> None:
        self.total -= 1
        for key in _counted(ip):
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]


def _counted(ip: Address) -> tuple[Address | int | tuple[int], ...]:
    """By what a connection is counted."""
    site = end_site(ip)
    return (ip, customer(ip)) if site is None else (ip, customer(ip), (site,))


REFUSALS: Final = {
    "total": "too many connections, come again later",
    "address": "too many connections from your address, come again later",
    "network": "too many connections from your network, come again later",
}
"""Why a `Gate` lets nobody in, and what he is told."""


class Pace:
    """How many messages a minute one customer may send, in the long run; after a pause he may send as many at once."""

    __slots__ = ("_due", "_each")

    def __init__(self, per_minute: int) -> None:
        """0: any number."""
        self._each = 60.0 / per_minute if per_minute else 0.0
        self._due: OrderedDict[int, float] = OrderedDict()  # when each will have nothing left to make good

    def take(self, ip: Address, now: float) -> bool:
        """Count one message, if it may be sent now."""
        if not self._each:
            return True
        who = customer(ip)
        due = max(self._due.get(who, now), now) + self._each
        if due - now > _MINUTE + _INEXACT:
            return False
        self._due[who] = due
        self._due.move_to_end(who)
        if len(self._due) > CUSTOMERS:
            self._due.popitem(last=False)
        return True


class Patience:
    """When to give a sender up: a deadline that octets push forward, never further than `seconds` from now.

    A steady slow sender of a large message stays, whatever it takes; one that trickles below the rate, or stops, goes.
    """

    __slots__ = ("_rate", "_seconds", "deadline")

    def __init__(self, seconds: float, rate: int, now: float) -> None:
        """`rate` is in octets a second; 0: any octet buys all of `seconds`."""
        self._seconds = seconds
        self._rate = rate
        self.deadline = now + seconds

    def progress(self, octets: int, now: float) -> None:
        bought = octets / self._rate if self._rate else self._seconds
        self.deadline = min(self.deadline + bought, now + self._seconds)

    def restart(self, now: float) -> None:
        """We kept the sender waiting."""
        self.deadline = now + self._seconds


class Allowance:
    """How many messages an hour all clients together, and one of them, may send."""

    def __init__(self, total: int, each: int) -> None:
        self._total = total
        self._each = each
        self._taken: deque[tuple[float, int]] = deque()  # when and by whom, never more than `total`

    def left(self, ip: Address, now: float) -> bool:
        """Whether this client may send one more."""
        while self._taken and self._taken[0][0] <= now - _HOUR:
            self._taken.popleft()
        client = customer(ip)
        own = sum(taker == client for _, taker in self._taken)
        return len(self._taken) < self._total and own < self._each

    def take(self, ip: Address, now: float) -> bool:
        """Count one, if it is left."""
        left = self.left(ip, now)
        if left:
            self._taken.append((now, customer(ip)))
        return left


_MINUTE = 60.0
_INEXACT = 1e-3  # what sums of fractions may be wrong by
_HOUR = 3600.0
