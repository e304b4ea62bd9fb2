"""Drafts, segments and files: octets outside the database."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.store import drafts, segments
from mailstore.store.blobs import INLINE_OCTETS, Blobs, Place, Placed
from mailstore.store.drafts import BUFFER_OCTETS, MEMORY_OCTETS, Spool, SpooledDraft
from mailstore.store.place import UNNAMED


class Ground:
    """Blobs and a spool on one folder."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(folder / "octets", 0)
        self.blobs = Blobs(self.spool, appending=True)

    async def keep(self, octets: bytes) -> Placed:
        draft = self.spool.draft(len(octets))
        draft.write(octets)
        placed = await self.blobs.keep(draft)
        draft.close()
        return placed

    async def read(self, placed: Placed) -> bytes:
        return b"".join([block async for block in self.blobs.read(placed)])

    def names(self) -> list[str]:
        return sorted(path.name for path in self.blobs.folder.iterdir())


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    made = Ground(tmp_path)
    yield made
    made.spool.close()
    made.blobs.close()


@pytest.mark.parametrize(
    ("size", "place"),
    [
        (0, Place.INLINE),
        (INLINE_OCTETS, Place.INLINE),
        (INLINE_OCTETS + 1, Place.SEGMENT),
        (MEMORY_OCTETS, Place.SEGMENT),
        (MEMORY_OCTETS + 1, Place.FILE),
        (MEMORY_OCTETS + BUFFER_OCTETS, Place.FILE),
    ],
)
async def test_where_octets_lie(ground: Ground, size: int, place: Place) -> None:
    placed = await ground.keep(os.urandom(16) * (size // 16) + b"x" * (size % 16))
    assert (placed.place, placed.octets) == (place, size)
    assert len(await ground.read(placed)) == size


async def test_a_segment_is_written_by_one_batch_without_gaps_or_overlap(ground: Ground) -> None:
    octets = [os.urandom(40_000 + n) for n in range(8)]
    placed = await asyncio.gather(*(ground.keep(part) for part in octets))
    assert len({where.reference for where in placed}) == 1
    ends = sorted((where.start, where.start + where.octets) for where in placed)
    assert all(end <= start for (_, end), (start, _) in pairwise(ends))
    assert [await ground.read(where) for where in placed] == octets


async def test_a_full_segment_is_followed_by_another(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_OCTETS", 256 * 1024)
    octets = [os.urandom(100_000) for _ in range(9)]
    placed = await asyncio.gather(*(ground.keep(part) for part in octets))
    assert len({where.reference for where in placed}) == 5
    assert [await ground.read(where) for where in placed] == octets


async def test_without_the_right_to_append_middling_octets_get_a_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "octets", 0)
    blobs = Blobs(spool, appending=False)
    draft = spool.draft(100_000)
    draft.write(b"x" * 100_000)
    placed = await blobs.keep(draft)
    draft.close()
    assert placed.place is Place.FILE
    assert b"".join([block async for block in blobs.read(placed)]) == b"x" * 100_000
    spool.close()
    blobs.close()


async def test_a_disk_without_room_for_a_segment_may_have_it_for_a_file(ground: Ground) -> None:
    ground.spool.reserve = ground.spool.free() - segments.SEGMENT_OCTETS // 2
    placed = await ground.keep(b"m" * 100_000)
    assert placed.place is Place.FILE
    assert await ground.read(placed) == b"m" * 100_000


async def test_tidy_removes_what_no_row_names_but_nothing_that_is_being_written(ground: Ground) -> None:
    kept = await ground.keep(b"k" * 2_000_000)
    await ground.keep(b"o" * 2_000_000)
    draft = ground.spool.draft(0)
    draft.write(b"d" * 2_000_000)
    writing = await ground.blobs.keep(draft)  # named, but its rows are not committed
    live = await ground.keep(b"s" * 100_000)  # the segment being appended to
    rows = {kept.reference: 2_000_000}
    assert ground.blobs.tidy(lambda name: rows.get(name, -1)) == 1
    assert ground.names() == sorted([kept.reference, writing.reference, live.reference])
    draft.close()
    assert ground.blobs.tidy(lambda name: rows.get(name, -1)) == 1
    assert ground.names() == sorted([kept.reference, live.reference])


async def test_tidy_minds_neither_foreign_names_nor_files_that_go_meanwhile(ground: Ground) -> None:
    (ground.blobs.folder / "lost+found").mkdir()
    first, second = sorted([(await ground.keep(b"x" * 2_000_000)).reference for _ in range(2)])

    def named(name: str) -> int:  # the other process removes both meanwhile
        for other in (first, second):
            (ground.blobs.folder / other).unlink()
        return -1

    assert ground.blobs.tidy(named) == 0
    assert ground.names() == ["lost+found"]


async def test_a_segment_goes_when_its_messages_are_gone_and_is_cut_after_a_crash(tmp_path: Path) -> None:
    first = Ground(tmp_path)
    placed = await first.keep(b"s" * 100_000)
    path = first.blobs.folder / placed.reference
    assert path.stat().st_size == segments.SEGMENT_OCTETS
    os.close(first.blobs._segments._segment)  # as the kernel does for a dead process
    first.blobs._segments._segment = -1
    second = Ground(tmp_path)
    assert second.blobs.tidy(lambda name: placed.start + placed.octets) == 0
    assert path.stat().st_size == 100_000
    assert await second.read(placed) == b"s" * 100_000
    assert second.blobs.tidy(lambda name: -1) == 1
    assert not path.exists()
    with pytest.raises(PermanentFailure):
        await second.read(placed)
    for ground in (first, second):
        ground.spool.close()
        ground.blobs.close()


async def test_a_full_segment_stays_locked_until_its_rows_are_committed(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_OCTETS", 256 * 1024)
    first = await ground.keep(b"a" * 200_000)
    later = [await ground.keep(b"b" * 200_000) for _ in range(4)]
    assert ground.blobs.tidy(lambda name: -1) == 0  # nobody's rows are committed
    for placed in later:
        ground.blobs.committed(placed)
    assert ground.blobs.tidy(lambda name: -1) == 3  # all but the first and the one being appended to
    assert ground.names() == sorted([first.reference, later[-1].reference])
    assert await ground.read(first) == b"a" * 200_000


async def test_erased_octets_are_gone_from_their_segment(ground: Ground) -> None:
    secret, other = await asyncio.gather(ground.keep(b"secret " * 20_000), ground.keep(b"public " * 20_000))
    ground.blobs.remove(secret, erase=True)
    assert b"secret" not in (ground.blobs.folder / secret.reference).read_bytes()
    assert await ground.read(other) == b"public " * 20_000


async def test_a_draft_in_a_file_has_no_name(ground: Ground) -> None:
    draft = ground.spool.draft(0)
    draft.write(b"x" * 3_000_000)
    assert ground.names() == []
    await draft.discard()
    assert ground.names() == []


async def test_a_file_system_without_unnamed_files(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refusing(path: Path | str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "as FAT says it")
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", refusing)
    placed = [await ground.keep(bytes([65 + n]) * size) for n, size in enumerate((2_000_000, 100_000))]
    assert [where.place for where in placed] == [Place.FILE, Place.SEGMENT]
    assert ground.names() == sorted(where.reference for where in placed)
    draft = ground.spool.draft(0)
    draft.write(b"x" * 2_000_000)
    rows = {where.reference: where.start + where.octets for where in placed}
    assert ground.blobs.tidy(lambda name: rows.get(name, -1)) == 0
    assert len(ground.names()) == 3
    await draft.discard()
    (ground.blobs.folder / f"{UNNAMED}left").write_bytes(b"by a process that was killed")
    assert ground.blobs.tidy(lambda name: rows.get(name, -1)) == 1
    assert ground.names() == sorted(rows)
    assert [(await ground.read(where))[:1] for where in placed] == [b"A", b"B"]


async def test_a_file_tidied_away_before_it_was_locked_is_made_again(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, made = os.open, list[Path]()

    def refusing(path: Path | str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "as FAT says it")
        descriptor = opened(path, flags, mode)
        if flags & os.O_CREAT and not made:
            made.append(Path(path))
            made[0].unlink()
        return descriptor

    monkeypatch.setattr(os, "open", refusing)
    placed = await ground.keep(b"x" * 2_000_000)
    assert made
    assert ground.names() == [placed.reference]


async def test_a_draft_is_congested_and_drains(ground: Ground) -> None:
    draft = ground.spool.draft(0)
    draft.write(bytes(6 * BUFFER_OCTETS))
    before = draft.congested
    await asyncio.wait_for(draft.drained(), 10)
    assert (before, draft.congested) == (True, False)
    await draft.discard()


async def test_stalled_senders_share_a_bounded_memory(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stalls keeps nothing that others need, loses nothing by it, and holds nobody up."""
    monkeypatch.setattr(drafts, "RESTING_OCTETS", 2 * BUFFER_OCTETS)
    monkeypatch.setattr(drafts, "QUEUED_OCTETS", 4 * BUFFER_OCTETS)
    spool, sizes = ground.spool, [100, 20_000, 300_000, 600_000, 1_500_000] * 6
    octets = [os.urandom(size) for size in sizes]
    arriving = [spool.draft(0) for _ in octets]
    for start in range(0, max(sizes), 65536):
        for draft, whole in zip(arriving, octets, strict=True):
            draft.write(whole[start : start + 65536])
            assert spool.resting <= 2 * BUFFER_OCTETS
            if draft.congested:
                await asyncio.wait_for(draft.drained(), 10)
            assert spool.queued <= 5 * BUFFER_OCTETS
    assert spool.resting == sum(len(draft.memory) for draft in arriving)
    placed = await asyncio.gather(*(ground.blobs.keep(draft) for draft in arriving))
    assert [await ground.read(where) for where in placed] == octets
    for draft in arriving:
        draft.close()
    assert (spool.resting, spool.queued, spool.line, spool.waiting) == (0, 0, {}, set())


async def test_what_is_being_accepted_is_left_where_it_is(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "RESTING_OCTETS", 150_000)
    first, second, third = (ground.spool.draft(0) for _ in range(3))
    first.write(b"1" * 100_000)
    first.take()
    second.write(b"2" * 100_000)
    third.write(b"3" * 10_000)
    assert [draft.descriptor >= 0 for draft in (first, second, third)] == [False, True, False]
    assert (await ground.blobs.keep(first)).place is Place.SEGMENT
    for draft in (first, second, third):
        await draft.end()
    assert (ground.spool.resting, ground.spool.queued) == (0, 0)


async def test_no_room_is_told_before_and_while_writing(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    free = ground.spool.free()
    with pytest.raises(TransientFailure) as caught:
        ground.spool.draft(free + 1)
    assert caught.value.status == "4.3.1"
    promised = ground.spool.draft(free // 2)
    with pytest.raises(TransientFailure):
        ground.spool.draft(free - free // 4)
    await promised.discard()
    draft = ground.spool.draft(0)
    ground.spool.reserve = free * 2
    draft.write(b"x" * 3_000_000)
    draft.write(b"x" * 3_000_000)
    with pytest.raises(TransientFailure) as caught:
        await asyncio.wait_for(ground.blobs.keep(draft), 10)
    assert caught.value.status == "4.3.1"
    assert draft.congested  # so that whoever minds it hears of the failure
    with pytest.raises(TransientFailure):
        await draft.drained()
    await draft.discard()


async def test_the_file_system_is_asked_now_and_then(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, statvfs = list[object](), os.statvfs

    def counted(folder: Path) -> os.statvfs_result:
        asked.append(folder)
        return statvfs(folder)

    monkeypatch.setattr(os, "statvfs", counted)
    monkeypatch.setattr(drafts, "LOOK_SECONDS", 3600.0)
    for _ in range(50):
        ground.spool.draft(100).close()
    assert len(asked) == 1
    draft = ground.spool.draft(0)
    draft.write(bytes(2 * BUFFER_OCTETS))
    await ground.blobs.keep(draft)  # what grows looks by itself
    assert len(asked) > 1
    draft.close()
    monkeypatch.setattr(drafts, "LOOK_SECONDS", -1.0)
    before = len(asked)
    ground.spool.draft(100).close()
    assert len(asked) == before + 1


async def test_promises_are_given_back(ground: Ground) -> None:
    for end in (SpooledDraft.discard, SpooledDraft.close):
        draft = ground.spool.draft(12345)
        assert ground.spool.promised == 12345
        if (pending := end(draft)) is not None:
            await pending
        assert ground.spool.promised == 0


async def test_what_is_written_is_no_longer_promised(ground: Ground) -> None:
    draft = ground.spool.draft(4 * BUFFER_OCTETS)
    draft.write(bytes(3 * BUFFER_OCTETS))
    await asyncio.wait_for(draft.drained(), 10)
    draft.write(bytes(2 * BUFFER_OCTETS))  # more than it said
    other = ground.spool.draft(1000)
    await ground.blobs.keep(draft)
    assert ground.spool.promised == 1000
    draft.close()
    assert ground.spool.promised == 1000
    other.close()
    assert ground.spool.promised == 0


async def test_a_file_being_written_is_locked(ground: Ground) -> None:
    draft = ground.spool.draft(0)
    draft.write(b"x" * 2_000_000)
    placed = await ground.blobs.keep(draft)
    descriptor = os.open(ground.blobs.folder / placed.reference, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    draft.close()
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


MEMORY = """
import asyncio, sys
from pathlib import Path
from mailstore.store.contract import Envelope, Recipient, Role
from mailstore.store.sql import open_store

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))

async def main():
    store = await open_store(Path(sys.argv[1]) / "s", role=Role.APPLIANCE, reserve=0, runtime=Path(sys.argv[1]) / "r")
    before, block = peak(), bytes(256 * 1024)
    draft = await store.draft(300 * 1024 * 1024)
    for _ in range(1200):
        draft.write(block)
        if draft.congested:
            await draft.drained()
    envelope = Envelope(reverse_path="", client_ip="192.0.2.1", helo="h", trust="insider")
    recipient = Recipient(maildrop="p", address="p@example.com", quota=10**10, fields=b"")
    (job,) = await store.accept(draft, envelope, [recipient])
    octets = 0
    async for block in store.read(job):
        octets += len(block)
    assert octets == 300 * 1024 * 1024, octets
    print(before, peak())
    await store.close()

asyncio.run(main())
"""


@pytest.mark.slow
async def test_memory_stays_flat_while_300_megabytes_pass(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", MEMORY, str(tmp_path)),
        cwd=Path(__file__).parents[1],
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode == 0
    before, after = map(int, output.split())
    assert after - before < 16 * 1024  # KiB
    assert after < 100 * 1024
