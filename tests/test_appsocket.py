"""AppSocket against peers that behave and peers that do not, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailstore.directory.records import Language
from mailstore.job import DeliveryProof
from printerbridge import postscript
from printerbridge.appsocket import (
    BACK_CHANNEL_LIMIT,
    Broken,
    Connection,
    GivenUp,
    NothingTaken,
    Patience,
    Sent,
    connect,
)
from printerbridge.dialing import NotConnected
from printerbridge.pjl import Conversation
from tests.sink import Peer, Sink, free_port, sink, swallow

QUICK = Patience(connect=5.0, stall=0.05, give_up=20.0, end=5.0)
LARGE = os.urandom(1 << 20) * 8


def blocks(data: bytes, size: int = 128 << 10) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def print_to(printer: Sink, data: bytes, patience: Patience = QUICK) -> Sent:
    connection = await connect(printer.host, printer.port, patience)
    try:
        async with asyncio.timeout(20):
            return await connection.send(blocks(data), patience=patience)
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("data", [b"", b"%!\nshowpage\n", LARGE], ids=["empty", "small", "large"])
async def test_every_octet_arrives_once_and_the_close_is_the_proof(host: str, data: bytes) -> None:
    async with sink(host=host) as printer:
        sent = await print_to(printer, data)
        assert await printer.count(1) == [data]
    assert sent == Sent(octets=len(data), proof=DeliveryProof.CLOSED, back_channel=b"")


async def test_a_name_is_resolved() -> None:
    async with sink() as printer:
        connection = await connect("localhost", printer.port)
        await connection.send([b"x"], patience=QUICK)
        connection.close()
        assert await printer.count(1) == [b"x"]


async def test_a_closed_port_is_busy() -> None:
    with pytest.raises(NotConnected) as caught:
        await connect("127.0.0.1", await free_port())
    assert caught.value.busy


async def test_an_unknown_name_is_unreachable() -> None:
    with pytest.raises(NotConnected, match="cannot be reached") as caught:
        await connect("printer.invalid", 9100, Patience(connect=10))
    assert not caught.value.busy


@pytest.mark.parametrize("host", ["224.0.0.1", "0.0.0.0", "::"])
async def test_addresses_that_are_no_printer(host: str) -> None:
    with pytest.raises(NotConnected, match="no printer's address"):
        await connect(host, 9100)


async def test_reset_before_any_octet_was_acknowledged() -> None:
    async def refuse(peer: Peer) -> None:
        peer.reset()

    async with sink(refuse) as printer:
        connection = await connect(printer.host, printer.port)
        await printer.count(1)  # or the kernel would have acknowledged what came first
        with pytest.raises(NothingTaken):
            await connection.send(blocks(LARGE), patience=QUICK)
        connection.close()


async def test_closed_before_any_octet_was_acknowledged() -> None:
    async def hang_up(peer: Peer) -> None:
        peer.sock.close()

    async with sink(hang_up) as printer:
        connection = await connect(printer.host, printer.port)
        await printer.count(1)  # it has hung up before the first octet
        with pytest.raises(NothingTaken):
            await connection.send([b"x" * 1000], patience=QUICK)
        connection.close()


@pytest.mark.parametrize("size", [1, 65536, 1 << 20])
async def test_reset_after_octets_is_doubt(size: int) -> None:
    async def die(peer: Peer) -> None:
        await peer.take(size)
        peer.reset()

    async with sink(die) as printer:
        with pytest.raises(Broken) as caught:
            await print_to(printer, LARGE)
        assert size <= caught.value.acknowledged < len(LARGE)


async def test_reset_with_everything_in_the_printers_buffer_is_doubt() -> None:
    async def die(peer: Peer) -> None:
        await peer.take(10)
        peer.reset()

    async with sink(die) as printer:
        with pytest.raises(Broken):
            await print_to(printer, b"x" * 4096)


async def test_closed_early_is_doubt_when_the_rest_finds_nobody() -> None:
    async def close_early(peer: Peer) -> None:
        await peer.take(1 << 16)

    async with sink(close_early, window=4096) as printer:
        with pytest.raises(Broken):
            await print_to(printer, LARGE)


async def test_a_peer_that_half_closes_at_once_and_reads_on_proves_nothing() -> None:
    async def half(peer: Peer) -> None:
        peer.sock.shutdown(1)
        await peer.take_all()

    async with sink(half) as printer:
        sent = await print_to(printer, LARGE)
        assert sent.proof is DeliveryProof.ACKED
        assert await printer.count(1) == [LARGE]


async def test_a_printer_that_never_closes_is_left_after_a_while() -> None:
    async def stay(peer: Peer) -> None:
        await peer.take_all()
        await asyncio.Event().wait()

    async with sink(stay) as printer:
        started = time.monotonic()
        sent = await print_to(printer, b"x" * 100, Patience(end=0.2))
        assert sent.proof is DeliveryProof.ACKED
        assert 0.2 <= time.monotonic() - started < 2


async def test_talk_on_the_back_channel_extends_the_wait_and_is_bounded() -> None:
    async def chat(peer: Peer) -> None:
        await peer.take_all()
        for _ in range(10):
            await peer.say(b"%%[ status: busy ]%%\n" * 500)
            await asyncio.sleep(0.05)

    async with sink(chat) as printer:
        sent = await print_to(printer, b"x", Patience(end=0.2))
    assert sent.proof is DeliveryProof.CLOSED
    assert len(sent.back_channel) == BACK_CHANNEL_LIMIT
    assert sent.back_channel.startswith(b"%%[ status: busy ]%%\n")


async def test_a_stall_is_reported_and_waited_for() -> None:
    paper = asyncio.Event()
    told: list[bool] = []

    async def out_of_paper(peer: Peer) -> None:
        await peer.take(100_000)
        await paper.wait()
        await peer.take_all()

    async def stalled(stands: bool) -> None:
        told.append(stands)
        paper.set()

    async with sink(out_of_paper, window=4096) as printer:
        connection = await connect(printer.host, printer.port)
        sent = await connection.send(blocks(LARGE), patience=QUICK, stalled=stalled)
        connection.close()
        assert await printer.count(1) == [LARGE]
    assert told[:2] == [True, False]
    assert len(told) % 2 == 0
    assert sent.proof is DeliveryProof.CLOSED


async def test_a_stall_without_end_is_given_up() -> None:
    async def dead(peer: Peer) -> None:
        await peer.take(1000)
        await asyncio.Event().wait()

    async with sink(dead, window=4096) as printer:
        with pytest.raises(GivenUp, match="took nothing for") as caught:
            await print_to(printer, LARGE, Patience(stall=0.05, give_up=0.3))
        assert 1000 <= caught.value.acknowledged < len(LARGE)


async def test_without_half_close_our_side_stays_open_until_the_printer_closes() -> None:
    ended: list[bytes] = []

    async def dislikes_a_fin(peer: Peer) -> None:
        await peer.take(9)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                ended.append(await peer.take(1))

    async with sink(dislikes_a_fin) as printer, asyncio.timeout(5):
        connection = await connect(printer.host, printer.port)
        sent = await connection.send([b"%!\nshow \n"], patience=QUICK, half_close=False)
        connection.close()
    assert ended == []
    assert sent.proof is DeliveryProof.CLOSED


async def test_without_half_close_a_printer_that_never_closes_is_left_in_order() -> None:
    ended = asyncio.Event()

    async def stays(peer: Peer) -> None:
        await peer.take_all()
        ended.set()

    async with sink(stays) as printer, asyncio.timeout(5):
        connection = await connect(printer.host, printer.port)
        sent = await connection.send([b"%!\n"], patience=Patience(end=0.1), half_close=False)
        assert not ended.is_set()
        connection.close()
        await ended.wait()  # and no reset
    assert sent.proof is DeliveryProof.ACKED


async def mark(peer: Peer) -> bytes:
    """The message that the mark behind a document prints."""
    while not peer.taken.endswith(b"print flush\n"):
        assert await peer.take(1)
    return bytes(peer.taken[peer.taken.index(b"(%%[") + 1 : peer.taken.rindex(b")")]) + b"\r\n"


async def marked(printer: Sink, patience: Patience) -> Sent:
    connection = await connect(printer.host, printer.port, patience)
    try:
        async with asyncio.timeout(5):
            conversation = postscript.Conversation(b"%!PS", "printpost: 42")
            return await connection.send([b"%!PS\nshowpage"], patience=patience, conversation=conversation)
    finally:
        connection.close()


async def test_a_mark_that_comes_back_is_the_proof_whatever_becomes_of_the_connection() -> None:
    async def resets(peer: Peer) -> None:
        await peer.say(await mark(peer))
        await asyncio.sleep(0.05)
        peer.reset()

    async with sink(resets) as printer:
        assert (await marked(printer, QUICK)).proof is DeliveryProof.INTERPRETED
        assert await printer.count(1) == [b"%!PS\nshowpage\n(%%[ printpost: 42 ]%%) print flush\n"]


async def test_without_the_mark_the_closing_counts_and_what_went_wrong_is_told() -> None:
    async def stumbles(peer: Peer) -> None:
        await mark(peer)
        await peer.say(b"%%[ Error: rangecheck; OffendingCommand: show ]%%\r\n%%[ Flushing: rest of job ]%%\r\n")
        await peer.take_all()

    async with sink(stumbles) as printer:
        sent = await marked(printer, QUICK)
    assert (sent.proof, sent.errors, sent.failed) == (
        DeliveryProof.CLOSED,
        "rangecheck; OffendingCommand: show",
        True,
    )


async def test_progress_is_what_the_printer_took_not_what_was_written() -> None:
    stop = asyncio.Event()

    async def slow(peer: Peer) -> None:
        await peer.take(1000)
        await stop.wait()

    seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async with sink(slow, window=4096) as printer:
        connection = await connect(printer.host, printer.port)

        async def stalled(_: bool) -> None:
            seen.set_result(connection.acknowledged)

        sending = asyncio.create_task(connection.send(blocks(LARGE), patience=QUICK, stalled=stalled))
        async with asyncio.timeout(5):
            taken = await seen
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        connection.abort()
        stop.set()
    assert 1000 <= taken < 200_000  # the kernel's buffer here took far more


async def test_abort_resets_so_that_no_stump_looks_whole() -> None:
    ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    async def watch(peer: Peer) -> None:
        try:
            await peer.take_all()
        except ConnectionResetError as error:
            ended.set_result(error)
            raise
        ended.set_result(None)

    async with sink(watch) as printer:
        connection: Connection = await connect(printer.host, printer.port)
        sending = asyncio.create_task(connection.send(blocks(LARGE * 4), patience=QUICK))
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        connection.abort()
        async with asyncio.timeout(5):
            assert isinstance(await ended, ConnectionResetError)


async def test_one_printer_after_the_other_takes_no_descriptors() -> None:
    async with sink(swallow) as printer:
        await print_to(printer, b"warm up")
        before = descriptors()
        for _ in range(20):
            await print_to(printer, b"x" * 1000)
        await printer.count(21)
        await asyncio.sleep(0)  # transports close their sockets in the next round
        assert descriptors() <= before + 1


async def test_a_name_server_that_is_silent_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    silence, ask = threading.Event(), socket.getaddrinfo
    ended = threading.Semaphore(0)

    def partly_silent(host: str, *arguments: Any, **options: Any) -> Any:
        if host.startswith("dead"):
            silence.wait(30)
            ended.release()
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return ask(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", partly_silent)
    async with sink(swallow) as printer, asyncio.timeout(5):
        dead = [asyncio.create_task(connect(f"dead{n}.example.com", 9100, Patience(connect=0.5))) for n in range(40)]
        await asyncio.sleep(0)
        await asyncio.to_thread(os.getpid)  # the threads that all share
        (await connect("localhost", printer.port)).close()
        gone = await asyncio.gather(*dead, return_exceptions=True)
        assert {str(each) for each in gone} == {"the printer did not answer within 0.5 s"}
        silence.set()
        for _ in dead:
            await asyncio.to_thread(ended.acquire)


async def test_a_printer_that_never_stops_talking_is_left_in_the_end() -> None:
    async def babble(peer: Peer) -> None:
        await peer.take_all()
        while True:
            await peer.say(b"%%[ status: idle ]%%\n")
            await asyncio.sleep(0.05)

    async with sink(babble) as printer, asyncio.timeout(5):
        sent = await print_to(printer, b"x" * 100, Patience(end=0.2, give_up=0.6))
    assert sent.proof is DeliveryProof.ACKED


async def test_a_job_that_is_not_wanted_any_more_is_broken_off() -> None:
    begun = asyncio.Event()

    async def stuck(peer: Peer) -> None:
        await peer.take(1000)
        begun.set()
        await asyncio.Event().wait()

    async with sink(stuck, window=4096) as printer, asyncio.timeout(5):
        connection = await connect(printer.host, printer.port)
        sending = asyncio.create_task(connection.send(blocks(LARGE), patience=Patience()))
        await begun.wait()
        connection.break_off("canceled")
        with pytest.raises(Broken, match="canceled"):
            await sending
        connection.abort()


END = b'@PJL USTATUS JOB\r\nEND\r\nNAME="1-1"\r\nPAGES=3\r\nRESULT=OK\r\n\x0c'
ANSWERS = Patience(connect=5.0, stall=5.0, give_up=20.0, end=5.0, answer=0.2)


async def converse(printer: Sink, data: bytes, patience: Patience = ANSWERS) -> Sent:
    connection = await connect(printer.host, printer.port, patience)
    try:
        async with asyncio.timeout(10):
            conversation = Conversation(data[:100], Language.POSTSCRIPT, "1-1")
            return await connection.send(blocks(data), patience=patience, conversation=conversation)
    finally:
        connection.close()


async def until_eoj(peer: Peer) -> None:
    while not peer.taken.endswith(b'@PJL EOJ NAME = "1-1"\r\n'):
        assert await peer.take(1)


async def test_our_side_stays_open_until_the_printer_said_how_the_job_ended() -> None:
    seen: list[bytes] = []

    async def prints(peer: Peer) -> None:
        await until_eoj(peer)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                seen.append(await peer.take(1))
        await peer.say(END)
        await peer.take_all()

    async with sink(prints) as printer:
        sent = await converse(printer, b"%!\nshowpage\n", QUICK)
        (received,) = await printer.count(1)
    assert seen == []
    assert (sent.proof, sent.pages, sent.result) == (DeliveryProof.JOB_END, 3, "OK")
    assert received.endswith(b"@PJL USTATUSOFF\r\n\x1b%-12345X")


async def test_a_printer_that_hears_of_no_end_is_not_waited_for_when_it_has_told_of_the_jobs() -> None:
    """Without a FIN of ours it does not know that nothing more comes, and would never close."""

    async def stays(peer: Peer) -> None:
        await until_eoj(peer)
        await peer.say(END)
        await peer.take_all()

    async with sink(stays) as printer, asyncio.timeout(5):
        connection = await connect(printer.host, printer.port)
        conversation = Conversation(b"%!\n", Language.POSTSCRIPT, "1-1")
        patient = Patience(end=60.0, answer=60.0)
        sent = await connection.send([b"%!\n"], patience=patient, conversation=conversation, half_close=False)
        connection.close()
    assert sent.proof is DeliveryProof.JOB_END


async def test_a_reset_after_the_end_was_told_is_no_doubt() -> None:
    async def resets(peer: Peer) -> None:
        await until_eoj(peer)
        await peer.say(END)
        await peer.take(10)
        peer.reset()

    async with sink(resets) as printer:
        assert (await converse(printer, b"%!\nshowpage\n")).proof is DeliveryProof.JOB_END


async def test_a_reset_before_the_end_was_told_is_doubt() -> None:
    async def resets(peer: Peer) -> None:
        await until_eoj(peer)
        peer.reset()

    async with sink(resets) as printer:
        with pytest.raises(Broken):
            await converse(printer, b"%!\nshowpage\n")


async def test_an_end_that_the_document_itself_forged_proves_nothing() -> None:
    async def forges(peer: Peer) -> None:
        await peer.take(1000)
        await peer.say(END)
        await peer.take_all()

    patience = Patience(connect=5.0, stall=5.0, give_up=20.0, end=0.2, answer=0.2)
    async with sink(forges) as printer:
        sent = await converse(printer, b"%!\n" + LARGE, patience)
        (received,) = await printer.count(1)
    assert sent.proof is DeliveryProof.CLOSED
    assert LARGE in received


async def test_a_printer_that_closes_instead_of_answering_is_believed_as_far_as_it_goes() -> None:
    async def closes(peer: Peer) -> None:
        await until_eoj(peer)

    async with sink(closes) as printer:
        assert (await converse(printer, b"%!\nshowpage\n", QUICK)).proof is DeliveryProof.ACKED


async def test_a_printer_that_floods_us_is_heard_as_fast_as_printers_speak() -> None:
    heard = 0

    class Counting(Conversation):
        def hear(self, octets: bytes, *, whole: bool) -> bool:
            nonlocal heard
            heard += len(octets)
            return super().hear(octets, whole=whole)

    async def flood(peer: Peer) -> None:
        await until_eoj(peer)
        with contextlib.suppress(OSError):
            while True:
                await peer.say(b"\n" * 65536)

    async with sink(flood) as printer, asyncio.timeout(10):
        connection = await connect(printer.host, printer.port)
        conversation = Counting(b"%!PS", Language.POSTSCRIPT, "1-1")
        patience = Patience(stall=0.2, end=0.2, answer=0.2, give_up=0.6)
        sent = await connection.send(blocks(b"%!PS"), patience=patience, conversation=conversation)
        connection.close()
    assert sent.proof is DeliveryProof.ACKED
    assert 32_768 < heard < 512_000


async def test_an_older_model_that_tells_no_result_has_interpreted_the_job() -> None:
    async def older(peer: Peer) -> None:
        await until_eoj(peer)
        await peer.say(END.replace(b"RESULT=OK\r\n", b""))
        await peer.take_all()

    async with sink(older) as printer:
        sent = await converse(printer, b"%!\nshowpage\n")
    assert (sent.proof, sent.pages, sent.result) == (DeliveryProof.INTERPRETED, 3, "")
