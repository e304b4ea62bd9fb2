"""Archives: the files in a zip and in Outlook's TNEF, and what is no archive but an attack."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore.document_format import DocumentFormat
from mailstore.failure import PermanentFailure
from printerbridge import unpack as unpacking
from printerbridge.programs import tnef, unpack
from printerbridge.unpack import Member
from tests import outlook

ZIP, TNEF = DocumentFormat.ZIP, DocumentFormat.TNEF


def _zip(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, octets in entries:
            archive.writestr(name, octets, compress_type=method)
    return file.getvalue()


async def _unpack(
    folder: Path, octets: bytes, format_: DocumentFormat = ZIP, *, entries: int = 200, limit: int = 256 << 20
) -> list[Member]:
    path = folder / "archive"
    path.write_bytes(octets)
    return await unpacking.unpack(path, format_, folder=folder, timeout=20, entries=entries, octets=limit)


async def _refused(folder: Path, octets: bytes, format_: DocumentFormat = ZIP, **limits: int) -> PermanentFailure:
    with pytest.raises(PermanentFailure) as caught:
        await _unpack(folder, octets, format_, **limits)
    return caught.value


def _pairs(members: Sequence[Member]) -> list[tuple[str, bytes]]:
    assert all(member.octets == member.path.stat().st_size for member in members)
    return [(member.name, member.path.read_bytes()) for member in members]


# Zip


async def test_the_files_in_a_zip_come_in_natural_order(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("order/link.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    octets = _zip(
        ("order/page 10.pdf", b"ten"),
        ("order/Page 2.pdf", b"two"),
        ("order/", b""),
        (link, b"/etc/passwd"),
        ("__MACOSX/order/._page 2.pdf", b"resource fork"),
        ("order/.DS_Store", b"hidden"),
        ("Thumbs.db", b"added"),
        ("../../etc/Größe\u202e.txt", b"outside"),
    )
    members = await _unpack(tmp_path, octets)
    assert _pairs(members) == [("Größe.txt", b"outside"), ("Page 2.pdf", b"two"), ("page 10.pdf", b"ten")]
    assert not any(member.letter for member in members)
    assert {member.path.parent.parent for member in members} == {tmp_path}


async def test_names_without_the_bit_for_utf8_are_guessed(tmp_path: Path) -> None:
    octets = _zip(("Gr\u00f6\u00dfe.txt", b"utf-8"))
    assert [
        name for name, _ in _pairs(await _unpack(tmp_path, octets.replace(b"\x00\x08\x08\x00", b"\0\0\x08\0")))
    ] == ["Größe.txt"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
async def test_ways_to_compress(tmp_path: Path, method: int) -> None:
    assert _pairs(await _unpack(tmp_path, _zip(("a", b"some text"), method=method))) == [("a", b"some text")]


async def test_an_archive_in_an_archive_is_a_file(tmp_path: Path) -> None:
    inner = _zip(("a", b"text"))
    assert _pairs(await _unpack(tmp_path, _zip(("inner.zip", inner)))) == [("inner.zip", inner)]


def _encrypted() -> bytes:
    octets = bytearray(_zip(("a.pdf", b"text")))
    octets[6] |= 1
    octets[octets.index(b"PK\1\2") + 8] |= 1
    return bytes(octets)


@pytest.mark.parametrize(
    ("octets", "words", "reason"),
    [
        (_encrypted(), "send it without a password", "document-password-error"),
        (_zip(("a", b"text"))[:-10], "damaged", "document-format-error"),
        (_zip(("a", b"text" * 99)).replace(b"KL", b"XX", 1)[30:], "damaged", "document-format-error"),
        (b"no zip at all", "damaged", "document-format-error"),
        (_zip(("a", b"text")).replace(b"\0\0\x08\0", b"\0\0\x61\0"), "not known", "document-format-error"),
        (_zip(("a", b"text"), method=0).replace(b"text", b"tixt", 1), "damaged", "document-format-error"),
    ],
    ids=["encrypted", "cut off", "no beginning", "no zip", "unknown method", "wrong sum"],
)
async def test_what_cannot_be_unpacked_is_said_clearly(tmp_path: Path, octets: bytes, words: str, reason: str) -> None:
    failure = await _refused(tmp_path, octets)
    assert words in failure.text
    assert failure.reason == reason


@pytest.mark.parametrize("octets", [_zip(), _zip((".hidden", b"text"))], ids=["empty", "hidden"])
async def test_in_an_empty_archive_there_is_nothing(tmp_path: Path, octets: bytes) -> None:
    assert await _unpack(tmp_path, octets) == []


# Bombs


def _written(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("unpack-*/[0-9]*"))


async def test_a_bomb_that_grows_too_much(tmp_path: Path) -> None:
    failure = await _refused(tmp_path, _zip(("a", bytes(24 << 20))))
    assert failure.reason == "document-security-error"


async def test_a_bomb_of_many_files_that_each_grow_a_little(tmp_path: Path) -> None:
    octets = _zip(*((f"{number}", bytes(1 << 20)) for number in range(9)))
    failure = await _refused(tmp_path, octets, limit=8 << 20)
    assert "more than 8 MB" in failure.text
    assert _written(tmp_path) <= 8 << 20


async def test_too_many_files(tmp_path: Path) -> None:
    octets = _zip(*((f"{number}", b"x") for number in range(11)))
    assert len(await _unpack(tmp_path, octets, entries=11)) == 11
    assert "more than 10 files" in (await _refused(tmp_path, octets, entries=10)).text


def _overlapping(copies: int = 50) -> bytes:
    """Many entries of the directory share one body (David Fifield, 2019)."""
    kernel = zlib.compress(bytes(1 << 20), wbits=-15)
    crc = zlib.crc32(bytes(1 << 20))
    fields = (0, 8, 0, 0x21, crc, len(kernel), 1 << 20, 1, 0)
    body = struct.pack("<4sHHHHHLLLHH", b"PK\3\4", 20, *fields) + b"a" + kernel
    entry = struct.pack("<4sHHHHHHLLLHHHHHLL", b"PK\1\2", 20, 20, *fields, 0, 0, 0, 0, 0) + b"a"
    directory = entry * copies
    end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, copies, copies, len(directory), len(body), 0)
    return body + directory + end


async def test_a_bomb_of_entries_that_share_their_octets(tmp_path: Path) -> None:
    assert len(await _unpack(tmp_path, _overlapping(1))) == 1
    failure = await _refused(tmp_path, _overlapping())
    assert failure.reason == "document-security-error"
    assert _written(tmp_path) <= 1 << 20


async def test_a_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    octets = _zip(("a", bytes(9 << 20)))
    lying = octets.replace(struct.pack("<L", 9 << 20), struct.pack("<L", 10))
    assert (await _refused(tmp_path, lying, limit=8 << 20)).reason == "document-format-error"


# What a child that was taken over could leave


@pytest.mark.parametrize(
    "listing",
    [
        "",
        "2 4 file a -\n",
        "1 5 file a -\n",
        "1 4 file a\n",
        "1 4 file a - b\n",
        "1 4 link a -\n",
        "1 4 file a/b -\n",
        "1 4 file a -\n2 4 file b -\n",
        "1 4 file a -\n" * 300,
        "1 4 file " + "a" * 3000 + " -\n",
        "٣ 4 file a -\n",
    ],
)
def test_a_listing_that_is_not_true_is_refused(tmp_path: Path, listing: str) -> None:
    (tmp_path / "1").write_bytes(b"text")
    (tmp_path / "listing").write_text(listing, encoding="utf-8")
    with pytest.raises(PermanentFailure):
        unpacking._members(tmp_path, 200, 1 << 20)


def test_a_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"text")
    (tmp_path / "1").symlink_to(tmp_path / "target")
    (tmp_path / "listing").write_text("1 4 file a -\n")
    with pytest.raises(PermanentFailure):
        unpacking._members(tmp_path, 200, 1 << 20)


def test_more_octets_than_allowed_are_refused(tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(b"text")
    (tmp_path / "listing").write_text("1 4 letter a%0A%E2%80%AEb cid%40x\n")
    (member,) = unpacking._members(tmp_path, 200, 4)
    assert (member.name, member.content_id, member.letter) == ("ab", "cid@x", True)
    with pytest.raises(PermanentFailure):
        unpacking._members(tmp_path, 200, 3)


# TNEF

_PACKED = bytes.fromhex(
    "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
)


async def test_outlooks_winmail_dat_is_opened(tmp_path: Path) -> None:
    inside = outlook.tnef(
        outlook.message({0x37: "forwarded", outlook.BODY: "What was forwarded: 中文"}),
        outlook.attachment("deep.pdf", b"%PDF-deep"),
    )
    octets = outlook.tnef(
        outlook.message({0x37: "Sagsnr. 5", outlook.HTML: b"<html><p>Hello</p></html>", outlook.BODY: "Hello"}),
        outlook.attachment("OVERVIEW.PDF", b"%PDF-1", "Übersicht der Aufträge.pdf"),
        outlook.attachment("photo.jpg", b"\xff\xd8\xff", content_id="image001.jpg@01D0"),
        outlook.attachment("cafe\u0301".encode("cp1252", "replace").decode(), b"short"),
        outlook.embedded(inside),
    )
    members = await _unpack(tmp_path, octets, TNEF)
    assert [(member.name, member.path.read_bytes(), member.letter) for member in members] == [
        ("Sagsnr. 5.html", b"<html><p>Hello</p></html>", True),
        ("Übersicht der Aufträge.pdf", b"%PDF-1", False),
        ("photo.jpg", b"\xff\xd8\xff", False),
        ("cafe?", b"short", False),
        ("forwarded.txt", "\ufeffWhat was forwarded: 中文".encode(), False),
        ("deep.pdf", b"%PDF-deep", False),
    ]
    assert members[2].content_id == "image001.jpg@01D0"


def test_compressed_rtf() -> None:
    """The examples of [MS-OXRTFCP] section 4."""
    assert tnef.rtf(_PACKED) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    crossing = bytes.fromhex("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0")
    assert tnef.rtf(crossing) == b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"
    plain = struct.pack("<LL4sL", 17, 5, b"MELA", 0) + b"{\\rtf"
    assert tnef.rtf(plain) == b"{\\rtf"
    for damaged in (b"", _PACKED[:15], _PACKED.replace(b"LZFu", b"LZMA")):
        with pytest.raises(ValueError, match=r"early|no compressed"):
            tnef.rtf(damaged)


def test_a_letter_is_given_in_its_best_form() -> None:
    forms = [
        outlook.message({outlook.RTF: _PACKED}),
        outlook.message({outlook.BODY: "text", outlook.RTF: _PACKED}),
        outlook.message({outlook.HTML: b"<p>text", outlook.BODY: "text", outlook.RTF: _PACKED}),
        outlook.attribute(0x0002800C, "größer".encode("cp1252") + b"\0"),
    ]
    found = [tnef.found(outlook.tnef(form)) for form in forms]
    assert [each.name for (each,) in found] == ["letter.rtf", "letter.txt", "letter.html", "letter.txt"]
    assert found[0][0].octets.startswith(b"{\\rtf1")
    assert found[3][0].octets.decode("utf-8-sig") == "größer"


def test_messages_in_messages_are_followed_to_a_depth() -> None:
    octets = outlook.tnef(outlook.attachment("last", b"octets"))
    names = []
    for _ in range(4):
        names.append([each.name for each in tnef.found(octets)])
        octets = outlook.tnef(outlook.embedded(octets))
    assert names == [["last"], ["last"], ["last"], []]


async def test_a_tnef_that_is_cut_off_gives_what_came_before(tmp_path: Path) -> None:
    octets = outlook.tnef(outlook.attachment("first", b"whole"), outlook.attachment("second", b"cut off" * 20))
    assert _pairs(await _unpack(tmp_path, octets[:-100], TNEF)) == [("first", b"whole")]
    for damaged in (octets[:3], b"PK\3\4" + octets, octets[:6] + b"\xff" * 40):
        assert (await _refused(tmp_path, damaged, TNEF)).reason == "document-format-error"
    assert await _unpack(tmp_path, outlook.tnef(), TNEF) == []


@given(
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=20),
    st.integers(0, 1 << 16),
)
def test_no_tnef_makes_the_parser_fail_otherwise_than_it_may(changes: list[tuple[int, int]], length: int) -> None:
    octets = bytearray(_WHOLE)
    for at, octet in changes:
        octets[at % len(octets)] = octet
    try:
        found = tnef.found(bytes(octets[: length % (len(octets) + 1)]))
    except ValueError:
        return
    assert sum(len(each.octets) for each in found) <= len(octets) + tnef.MAX_RTF


_WHOLE = outlook.tnef(
    outlook.message({0x37: "subject", outlook.RTF: _PACKED, outlook.METHOD: 1}),
    outlook.attachment("a", b"octets", "long name"),
    outlook.embedded(outlook.tnef(outlook.attachment("b", b"octets"))),
)


@given(st.lists(st.text("ab19.²", max_size=8), max_size=8))
def test_natural_order_is_an_order(names: list[str]) -> None:
    keys = [unpack.natural(name) for name in names]
    assert len(set(keys)) == len(set(names))
    assert sorted(keys) == sorted(set(keys)) or len(set(names)) < len(names)
    assert unpack.natural("page 2") < unpack.natural("page 10") < unpack.natural("Page 10b")
