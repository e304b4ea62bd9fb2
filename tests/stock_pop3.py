"""Twisted's POP3 server as it comes, over maildrops in memory: what our tests of its faults must fail on."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from io import BytesIO

from appliance.reactor import reactor  # isort: skip - before Twisted's mail

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet import defer, task
from twisted.internet.protocol import Factory
from twisted.mail import pop3
from zope.interface import implementer


@implementer(pop3.IMailbox)
class Mailbox:
    """As its interface asks for: a deleted message keeps its number, with size 0."""

    def __init__(self, messages: list[bytes]) -> None:
        self.messages = messages
        self.deleted: set[int] = set()

    def __len__(self) -> int:
        return len(self.messages)

    def listMessages(self, index: int | None = None) -> object:  # noqa: N802
        sizes = [0 if n in self.deleted else len(octets) for n, octets in enumerate(self.messages)]
        return sizes if index is None else sizes[index]

    def getMessage(self, index: int) -> BytesIO:  # noqa: N802
        return BytesIO(self.messages[index])

    def getUidl(self, index: int) -> bytes:  # noqa: N802
        return hashlib.sha256(self.messages[index]).hexdigest().encode()

    def deleteMessage(self, index: int) -> None:  # noqa: N802
        self.messages[index]
        self.deleted.add(index % len(self.messages))

    def undeleteMessages(self) -> None:  # noqa: N802
        self.deleted.clear()

    def sync(self) -> None:
        self.messages[:] = [octets for n, octets in enumerate(self.messages) if n not in self.deleted]
        self.deleted.clear()


@implementer(IRealm)
class Realm:
    """Logins take a moment, as with any directory, and lock the maildrop."""

    def __init__(self) -> None:
        self.maildrops: dict[bytes, list[bytes]] = {}
        self.locks: dict[bytes, int] = {}

    def requestAvatar(self, name: bytes, mind: object, *interfaces: object) -> defer.Deferred[object]:  # noqa: N802
        self.locks[name] = self.locks.get(name, 0) + 1
        mailbox = Mailbox(self.maildrops[name])
        return task.deferLater(reactor, 0.02, lambda: (pop3.IMailbox, mailbox, lambda: self.unlock(name)))

    def unlock(self, name: bytes) -> None:
        self.locks[name] -= 1


class StockHouse:
    """The same hands as `Pop3House` has."""

    host = "127.0.0.1"

    def __init__(self, password: str, timeout: float) -> None:
        self.realm = Realm()
        self.password = password.encode()
        self.checker = InMemoryUsernamePasswordDatabaseDontUse()

        class Session(pop3.POP3):
            timeOut = timeout  # noqa: N815
            portal = Portal(self.realm, [self.checker])

        self.protocol = Session
        self.port = 0

    async def printer(self, *messages: bytes) -> str:
        name = f"phaser{len(self.realm.maildrops) + 1}"
        self.checker.addUser(name.encode(), self.password)
        self.realm.maildrops[name.encode()] = list(messages)
        return name

    async def free(self, name: str) -> bool:
        return not self.realm.locks.get(name.encode())


@contextlib.asynccontextmanager
async def running_stock_pop3(password: str, timeout: float = 300) -> AsyncIterator[StockHouse]:
    reactor.start()
    house = StockHouse(password, timeout)
    factory = Factory.forProtocol(house.protocol)
    factory.noisy = False
    port = reactor.listenTCP(0, factory, interface=house.host)
    house.port = port.getHost().port
    try:
        yield house
    finally:
        await defer.maybeDeferred(port.stopListening).asFuture(asyncio.get_running_loop())
