"""The reactor as a guest of the loop.  A process has one reactor, so each case is a process of its own."""

import importlib.metadata
import subprocess
import sys
import textwrap

import pytest
import uvloop
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.base import ReactorBase

from appliance.reactor import LoopReactor

LOOPS = ("asyncio.new_event_loop", "uvloop.new_event_loop")


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("loop", LOOPS)
def test_serves_on_the_running_loop_and_leaves_it_alone(loop: str) -> None:
    """Timers, sockets and threads work; after shutdown the loop goes on, and the process ends."""
    code = f"""
    import asyncio, uvloop
    from appliance.reactor import reactor
    from twisted.internet import protocol, threads, task

    class Echo(protocol.Protocol):
        def dataReceived(self, data): self.transport.write(data)

    async def main():
        reactor.start()
        reactor.start()
        port = reactor.listenTCP(0, protocol.Factory.forProtocol(Echo), interface="127.0.0.1")
        reader, writer = await asyncio.open_connection("127.0.0.1", port.getHost().port)
        writer.write(b"octets")
        print(await reader.readexactly(6))
        print(await threads.deferToThread(lambda: "thread").asFuture(asyncio.get_running_loop()))
        await task.deferLater(reactor, 0.001).asFuture(asyncio.get_running_loop())
        writer.close()
        await port.stopListening().asFuture(asyncio.get_running_loop())
        reactor.shutdown()
        await asyncio.sleep(0.01)
        print("loop lives")

    with asyncio.Runner(loop_factory={loop}) as runner:
        runner.run(main())
    """
    assert run(code).splitlines() == ["b'octets'", "thread", "loop lives"]


@pytest.mark.parametrize("tidy", ["reactor.shutdown()", "pass"])
def test_moves_to_the_next_loop(tidy: str) -> None:
    code = f"""
    import asyncio
    from appliance.reactor import reactor
    from twisted.internet import task

    async def main():
        reactor.start()
        forgotten = reactor.callLater(1000, print)
        await task.deferLater(reactor, 0.001).asFuture(asyncio.get_running_loop())
        print("turn")
        {tidy}

    for _ in range(3):
        asyncio.run(main())
    """
    assert run(code).split() == ["turn"] * 3


def test_refuses_two_loops_at_once_and_no_loop() -> None:
    code = """
    import asyncio
    from appliance.reactor import reactor

    async def main():
        reactor.start()

    try:
        reactor.start()
    except RuntimeError:
        print("no loop")
    first = asyncio.new_event_loop()
    first.run_until_complete(main())
    try:
        asyncio.run(main())
    except RuntimeError as error:
        print(error)
    first.close()
    """
    assert run(code).splitlines() == [
        "no loop",
        "the reactor still belongs to another loop: call shutdown() there first",
    ]


def test_refuses_to_come_second() -> None:
    code = """
    from twisted.internet import reactor
    try:
        import appliance.reactor
    except ImportError as error:
        print(error)
    """
    assert "before anything of Twisted" in run(code)


def test_comes_first_with_the_pop3_package() -> None:
    code = """
    import appliance.pop3.server
    from twisted.internet import reactor
    print(type(reactor).__name__)
    """
    assert run(code).strip() == "LoopReactor"


def test_private_names_are_still_there() -> None:
    """What `appliance.reactor` touches or replaces; a new Twisted must be looked at when this fails."""
    assert importlib.metadata.version("twisted").startswith("26.")
    own = vars(AsyncioSelectorReactor(loop := uvloop.new_event_loop()))
    loop.close()
    assert {"_asyncioEventloop", "_scheduledAt", "_timerHandle", "_started", "running"} <= own.keys()
    assert callable(ReactorBase._reallyStartRunning)
    assert {"_readers"} <= own.keys()
    replaced = {"crash", "installWaker", "_readOrWrite", "addReader", "addWriter"}
    assert replaced <= vars(LoopReactor).keys() & set(dir(AsyncioSelectorReactor))
    for name in ("addReader", "addWriter"):
        assert "_readOrWrite" in getattr(AsyncioSelectorReactor, name).__code__.co_names
    # The triggers that `shutdown` puts back, as the constructor sets them; the base's `crash` stops the loop.
    names = ReactorBase.__init__.__code__.co_names
    assert {"addSystemEventTrigger", "_reallyStartRunning", "crash", "disconnectAll"} <= set(names)
    assert "stop" in AsyncioSelectorReactor.crash.__code__.co_names
    # `callFromThread` needs no waker.
    assert any(
        "call_soon_threadsafe" in getattr(code, "co_names", ())
        for code in (AsyncioSelectorReactor.callFromThread.__code__,)
    )
