"""How much one client, and all of them, may ask for.

Security: these numbers are what stands between a stranger and our memory, descriptors and patience.  A client is
what `peer.customer` says.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from appliance.peer import Address, customer


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Octets, seconds and counts."""

    connections: int = 1000
    connections_per_client: int = 100
    recipients: int = 100  # RFC 5321 section 4.5.3.1.8 asks for as many
    errors: int = 20  # refused commands before the connection is closed; an accepted message wipes them out
    idle_commands: int = 100  # NOOP, RSET and the like between two accepted messages
    line: int = 2048  # of a command, CRLF included; 512 of RFC 5321 and what its extensions add
    input: int = 65536  # of pipelined commands that wait; more stays in the kernel
    command_seconds: float = 300.0  # RFC 5321 section 4.5.3.2.7: at least five minutes
    data_seconds: float = 180.0  # the patience that data begins with, and the most it ever has
    data_rate: int = 500  # octets that buy one second of patience
    reply_seconds: float = 60.0  # for a client that does not read what we say
    handshake_seconds: float = 30.0
    parting_seconds: float = 2.0  # for a client to take our last words and close
    excess: int = 64 << 20  # octets past the largest size that are still swallowed for a reply's sake
    hops: int = 50  # Received fields
    logins: int = 3  # wrong ones before the connection is closed
    login_seconds: float = 3600.0  # for which a login is believed: a password may be changed meanwhile
    denial_seconds: float = 1.0  # what a wrong login costs
    postmaster_octets: int = 256 << 10  # of a message
    postmaster_hourly: int = 20  # messages of all strangers, and as many of all people of the site
    postmaster_hourly_per_client: int = 5


class Gate:
    """Counts the connections that are open."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._clients: Counter[int] = Counter()
        self.total = 0

    def enter(self, ip: Address) -> str:
        """ "" and the connection is counted until `leave`, or why it is refused."""
        client = customer(ip)
        if self.total >= self._limits.connections:
            return "too many connections, come again later"
        if self._clients[client] >= self._limits.connections_per_client:
            return "too many connections from your address, come again later"
        self.total += 1
        self._clients[client] += 1
        return ""

    def leave(self, ip: Address) -> None:
        client = customer(ip)
        self.total -= 1
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]


class Patience:
    """When to give a sender up: a deadline that octets push forward, never further than `seconds` from now.

    A steady slow sender of a large message stays, whatever it takes; one that trickles below the rate, or stops, goes.
    """

    __slots__ = ("_rate", "_seconds", "deadline")

    def __init__(self, seconds: float, rate: int, now: float) -> None:
        self._seconds = seconds
        self._rate = rate
        self.deadline = now + seconds

    def progress(self, octets: int, now: float) -> None:
        self.deadline = min(self.deadline + octets / self._rate, now + self._seconds)

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


_HOUR = 3600.0
