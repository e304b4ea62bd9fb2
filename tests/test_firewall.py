"""The print firewall: PJL is said anew, page descriptions are looked through, however the stream is cut."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat as F
from mailstore.failure import PermanentFailure
from mailstore.passage import Treatment
from mailstore.sniff import sniff
from printerbridge.firewall import COMMANDS, Filter, Unwrapper, tell
from printerbridge.firewall.commands import SETTINGS
from printerbridge.pjl import Conversation
from tests.fuzz.targets import firewall as target
from tests.printer_view import UEL, commands

ALL = (Language.POSTSCRIPT, Language.PCL, Language.PCLXL, Language.PDF, Language.PWG)
PAGE = b"%!PS\nshowpage\n"
XL = b") HP-PCL XL;2;0\n"


def wrapped(*lines: bytes, page: bytes = PAGE, language: bytes = b"POSTSCRIPT") -> bytes:
    return UEL + b"".join(b"@PJL " + line + b"\r\n" for line in (*lines, b"ENTER LANGUAGE = " + language)) + page + UEL


def run(
    stream: bytes,
    source: F = F.POSTSCRIPT,
    languages: tuple[Language, ...] = ALL,
    passes: Callable[[F], bool] = lambda _: True,
    copies: int = 9,
) -> tuple[bytes, dict[str, int]]:
    one = Filter(source, languages, passes=passes, copies=copies)
    made = one.feed(stream) + one.close()
    return made, dict(one.dropped)


def pcl(stream: bytes, copies: int = 9) -> tuple[bytes, dict[str, int]]:
    """The document without what stands around it."""
    made, dropped = run(wrapped(page=b"\x1bE" + stream, language=b"PCL"), F.PCL, copies=copies)
    head = wrapped(page=b"\x1bE", language=b"PCL").removesuffix(UEL)
    assert made.startswith(head)
    return made[len(head) :].removesuffix(UEL), dropped


# -- PJL


@pytest.mark.parametrize(
    ("said", "again"),
    [
        (b"SET COPIES=3", [b"SET COPIES = 3"]),
        (b"SET COPIES = 300", [b"SET COPIES = 9"]),
        (b"set duplex=on\r\n@PJL SET BINDING = shortedge", [b"SET DUPLEX = ON", b"SET BINDING = SHORTEDGE"]),
        (b"SET PAPER=A4\r\n@PJL SET PAPER=LETTER", [b"SET PAPER = LETTER"]),
        (b"SET RESOLUTION=600X600", [b"SET RESOLUTION = 600X600"]),
        (b"SET MANUALFEED=OFF", [b"SET MANUALFEED = OFF"]),
        (b"SET MANUALFEED=ON", []),
        (b'SET PAPER="A4"', []),
        (b"SET PAPER=A4 ECONOMODE=ON", []),
        (b"SET LPARM:PCL PITCH=1", []),
        (b"SET COPIES=0", [b"SET COPIES = 1"]),
        (b"SET COPIES=-1", []),
        (b"SET COPIES=3\r\n@PJL SET QTY=5", [b"SET COPIES = 3", b"SET QTY = 3"]),
        (b"SET COPIES=3\r\n@PJL EOJ", [b"SET COPIES = 1"]),
        (b"COMMENT SET COPIES=3", []),
        (b'JOB NAME="x\x1b" DISPLAY="y"', []),
        (b"SETCOPIES=3", []),
        (b"SET COPIES=3" + b" " * 2000, []),
        (b"\t SET\tECONOMODE = ON \t", [b"SET ECONOMODE = ON"]),
    ],
)
def test_settings_are_said_anew(said: bytes, again: list[bytes]) -> None:
    made, _ = run(wrapped(said))
    assert commands(made) == [*again, b"ENTER LANGUAGE = POSTSCRIPT"]
    assert made.endswith(PAGE + UEL)


@pytest.mark.parametrize(
    ("stream", "made"),
    [
        (PAGE, PAGE),
        (PAGE + UEL, PAGE + UEL),
        (b"\x04" + PAGE + b"\x04", b"\x04" + PAGE + b"\x04"),
        (UEL + PAGE, wrapped()),
        (b"@PJL\n" + PAGE, wrapped()),
        (b"\0\x04 \r\n@pjl enter language=ps\n" + PAGE, wrapped()),
        (UEL + b"\r\n" + UEL + b"@PJL\r\n\r\n" + PAGE + UEL + b"@PJL EOJ\r\n" + UEL + b"\x04", wrapped()),
        (UEL + b"@PJL ENTER LANGUAGE=PCL" + UEL + PAGE, wrapped()),
        (wrapped() + wrapped(), wrapped().removesuffix(UEL) + wrapped()),
        (UEL + b'@PJL COMMENT "' + UEL + b'@PJL RDYMSG DISPLAY="x"\r\n' + PAGE, wrapped()),
        (PAGE + UEL[:-1], PAGE),
        (PAGE + b"\x1b" + UEL, PAGE + UEL),
        (PAGE + b"\x1b", PAGE),
        (PAGE + b"\x1b%!", PAGE + b"\x1b%!"),
        (b"", b""),
    ],
)
def test_sections_begin_where_printers_see_them(stream: bytes, made: bytes) -> None:
    assert run(stream)[0] == made


@pytest.mark.parametrize(
    ("stream", "source", "said"),
    [
        (wrapped(language=b"HPGL2"), F.POSTSCRIPT, "not known"),
        (wrapped(language=b"PCL"), F.PCL, "looks like application/postscript"),
        (wrapped(page=b"\x1bE", language=b"POSTSCRIPT"), F.POSTSCRIPT, "looks like application/vnd.hp-pcl"),
        (wrapped(page=b"text", language=b"PDF"), F.PDF, "looks like text/plain"),
        (UEL + b"@PJL\r\n\xff\x00\xfe\x01 octets", F.OCTETS, "does not take"),
        (UEL + b"@PJL RDYMSG\r\n" + UEL, F.OCTETS, "nothing to print"),
        (UEL + b"@PJL SET COPIES=1\r\n" * 101_000, F.OCTETS, "more than 100000 commands"),
        (UEL + b"@PJL UPGRADE SIZE=9\r\nfirmware", F.OCTETS, "nothing to print"),
        (PAGE + UEL + b"text", F.POSTSCRIPT, "text follows"),
        (PAGE + b"\x1b%-12345x", F.POSTSCRIPT, "odd spelling"),
        (PAGE + b"\x1b%\0-\0\x001 2 3 4 5.0 X", F.POSTSCRIPT, "odd spelling"),
        (b"\x1bE\x1b*c5F%!PS\n", F.PCL, "beginning of another language"),
        (b"\x1bE" + b"\x1b!" * 100_100, F.PCL, "more than 100000 things"),
    ],
)
def test_what_is_not_certain_is_refused(stream: bytes, source: F, said: str) -> None:
    with pytest.raises(PermanentFailure, match=said) as refused:
        run(stream, source)
    assert (refused.value.status, refused.value.reason) == ("5.7.1", "document-security-error")


def test_only_languages_of_the_printer_that_may_pass() -> None:
    with pytest.raises(PermanentFailure, match="this printer does not take"):
        run(wrapped(), languages=(Language.PCL,))
    with pytest.raises(PermanentFailure, match="may not reach this printer as it came"):
        run(wrapped(), passes=lambda format_: format_ is F.PCL)
    both = wrapped(page=b"\x1bEpage\x1bE", language=b"PCL") + wrapped()
    with pytest.raises(PermanentFailure, match="may not reach"):
        run(both, F.PCL, passes=lambda format_: format_ is F.PCL)
    assert run(both, F.PCL)[0] == both.replace(UEL + UEL, UEL)


def test_dropped_commands_are_counted_by_closed_names() -> None:
    lines = (b"FSDELETE x", b"fsdelete y", b"RDYMSG", b"SET HOLD=ON", b"SET USERNAME=a", b"DEVILISH", b"JOB PASSWORD=1")
    _, dropped = run(wrapped(*lines, b"COMMENT x", b"JOB", b"EOJ"))
    expected = {"FSDELETE": 2, "RDYMSG": 1, "SET HOLD": 1, "SET": 1, "other": 1, "JOB PASSWORD": 1}
    assert dropped == expected
    assert set(dropped) <= COMMANDS
    assert tell({"RDYMSG": 1, "FSDOWNLOAD": 3}) == "the print firewall dropped FSDOWNLOAD (3), RDYMSG (1)"
    assert tell({}) == ""


def test_our_own_job_stands_around_what_comes_out() -> None:
    """The sender's JOB is gone, so the bridge names its own and hears of its end."""
    made, _ = run(wrapped(b'JOB NAME="theirs"', b"SET COPIES=2") + b"@PJL EOJ\r\n" + UEL)
    conversation = Conversation(made, Language.POSTSCRIPT, "7-1 ours")
    assert conversation.awaited
    printed = b"".join(conversation.dress([made]))
    assert b"theirs" not in printed
    assert [line for line in commands(printed) if b"NAME" in line] == [
        b'JOB NAME = "7-1 ours"',
        b'EOJ NAME = "7-1 ours"',
    ]


# -- PCL


@pytest.mark.parametrize(
    ("stream", "made", "dropped"),
    [
        (b"text\x0c\x1b&l1S\x1b(s0p10h3B", b"text\x0c\x1b&l1S\x1b(s0p10h3B", {}),
        (b"\x1b*t300R\x1b*r1A\x1b*b2m3Wab\x1b\x1b*rB", b"\x1b*t300R\x1b*r1A\x1b*b2m3Wab\x1b\x1b*rB", {}),
        (b"\x1b*b2m3wabc2Wde", b"\x1b*b2M\x1b*b3Wabc\x1b*b2Wde", {}),
        (b"\x1b*b0003Wabc", b"\x1b*b0003Wabc", {}),
        (b"\x1b*b+3.9Wabc", b"\x1b*b3Wabc", {}),
        (b"\x1b*bW", b"\x1b*b0W", {}),
        (b"\x1b*b9y1vw2wab0W", b"\x1b*b9Y\x1b*b1Vw\x1b*b2Wab\x1b*b0W", {}),  # as drivers of DeskJets have it
        (b"\x1b&k1W\x1b*o1d2Q", b"\x1b*o1d2Q", {"PCL other": 1}),
        (b"\x1b&p3X\x1bza", b"\x1b&p3X\x1bza", {}),
        (b"\x1b)s4W\x1bzab\x1b*c65e4F", b"\x1b)s4W\x1bzab\x1b*c65e4F", {}),
        (b"a\x1bzb", b"ab", {"PCL SELF TEST": 1}),
        (b"\x1b&f5y0X\x1b&f1X\x1b&f5y3X", b"\x1b&f5y0X\x1b&f1X\x1b&f5y3X", {}),
        (b"\x1b&f5y10X", b"\x1b&f5Y", {"PCL MACRO": 1}),
        (b"\x1b&f5y+010.0X", b"\x1b&f5Y", {"PCL MACRO": 1}),
        (b"\x1b&f10x5Y", b"\x1b&f5Y", {"PCL MACRO": 1}),
        (b"\x1b&f6X\x1b*c5F\x1b*c5Q\x1b*c5S", b"", {"PCL MACRO": 1, "PCL FONT": 2, "PCL PATTERN": 1}),
        (b"\x1b&b3Wabctext", b"text", {"PCL CONFIGURATION": 1}),
        (b"\x1b&n6WdPlain", b"\x1b&n6WdPlain", {}),
        (b"\x1b&n6W\x05macro", b"", {"PCL MACRO": 1}),
        (b"\x1b*v6W\0\1\2\3\4\5", b"\x1b*v6W\0\1\2\3\4\5", {}),
        (b"\x1b*v6W\0\x1bz\3\4\5", b"", {"PCL other": 1}),
        (b"\x1b*s1M", b"", {"PCL STATUS": 1}),
        (b"\x1b$1A\x1b&q3X", b"", {"PCL other": 2}),
        (b"\x1b&l2o99X", b"\x1b&l2o9X", {"COPIES": 1}),
        (b"\x1b&l99x1O", b"\x1b&l9x1O", {"COPIES": 1}),
        (b"\x1b%0a-12345X@PJL", b"@PJL", {"PCL other": 2}),
        (b"\x1b%0BIN;LBa\x1bz\x03;\x1b*b9Wx\x1b%0A", b"\x1b%0BIN;LBaz\x03;*b9Wx\x1b%0A", {"HP-GL/2 other": 2}),
        (b"\x1b&l\x07", b"\x07", {"PCL other": 1}),
        (b"end\x1b", b"end", {"PCL other": 1}),
        (b"end\x1b&l1", b"end1", {"PCL other": 1}),
    ],
)
def test_pcl_is_looked_through(stream: bytes, made: bytes, dropped: dict[str, int]) -> None:
    assert pcl(stream) == (made, dropped)


@pytest.mark.parametrize(
    "stream",
    [
        b"\x1b*b40W" + UEL + b"@PJL RDYMSG\r\n",  # printers disagree whether this is data
        b"\x1b*b40Wcut off",
        b"\x1b*v40Wcut off",
        b"\x1b*b40000W",
        b"\x1b*b-4W",
        b"\x1bY\x1b*b9W",
        b"\x1b&t31P",
        b"\x1b*b6W\x1b%-123\x1bz45X@PJL RDYMSG\r\n",  # a UEL would come about
    ],
)
def test_pcl_that_printers_take_differently_is_refused(stream: bytes) -> None:
    with pytest.raises(PermanentFailure, match="send it as PDF"):
        pcl(stream)


def test_pcl_without_pjl_is_told_by_its_reset() -> None:
    made, _ = run(b"\x1b*c5F\x1b&l1Stext", F.PCL)
    assert made == b"\x1bE\x1b&l1Stext\x1bE"  # and leaves nothing behind it
    assert run(made, F.PCL)[0] == made


@pytest.mark.slow
@pytest.mark.parametrize("device", ["ljet4", "cljet5", "pxlmono", "pxlcolor", "lj5mono", "pwgraster"])
def test_what_drivers_write_passes_unchanged(device: str) -> None:
    """But for what PJL stands around it."""
    page = PAGE.replace(b"showpage", b"100 100 200 300 rectfill 1 0 0 setrgbcolor 300 300 100 0 360 arc fill showpage")
    command = ["gs", "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", f"-sDEVICE={device}", "-sOutputFile=-", "-"]
    stream = subprocess.run(command, input=page, capture_output=True, check=True).stdout
    made, dropped = run(stream, sniff(stream[:8192]))
    assert dropped == {}
    at, start = (one.rfind(b"LANGUAGE") for one in (stream, made))
    assert made[made.find(b"\n", start) + 1 if start > 0 else 0 :] == stream[
        stream.find(b"\n", at) + 1 if at > 0 else 0 :
    ].rstrip(b"\n") + (b"\x1bE" if device == "cljet5" else b"")  # which leaves the printer as it was


# -- PCL XL


def test_pcl_xl_is_walked() -> None:
    page = XL + b"\xd1\x58\x02\x58\x02\xf8\x89\xc0\x00\xf8\x86\x41\xc8\xc1\x02\0\x1bz\xf8\xa8\xfa\x02\0\0\0\xbf\x5b\x42"
    stream = wrapped(page=page, language=b"PCLXL")
    assert run(stream, F.PCLXL) == (stream, {})
    copies = wrapped(page=XL + b"\xc1\xff\x7f\xf8\x31\x44\xc0\xff\xf8\x31\x44", language=b"PCLXL")
    made, dropped = run(copies, F.PCLXL)
    assert dropped == {"COPIES": 2}
    assert made == copies.replace(b"\xff\x7f", b"\x09\x00").replace(b"\xc0\xff", b"\xc0\x09")


@pytest.mark.parametrize(
    "page",
    [
        XL + b"\xc8\xc1\x02\0\x1bz\xf8\x91\xbf",  # PassThrough
        XL + b"\x5b",  # BeginStream
        XL + b"\x1bE",
        XL + b"\xfa\x10\0\0\0data",
        XL + b"\xc3\xff\x7f\xf8\x31\x44",  # copies, of an odd type
        XL + b"\xff" * 40,
        b"' HP-PCL XL;2;0\n",
    ],
)
def test_pcl_xl_that_is_not_certain_is_refused(page: bytes) -> None:
    with pytest.raises(PermanentFailure, match="send it as PDF"):
        run(wrapped(page=page, language=b"PCLXL"), F.PCLXL)


# -- what is drawn anew


@pytest.mark.parametrize(
    ("stream", "alone"),
    [
        (wrapped(b"SET DUPLEX=ON"), PAGE),
        (wrapped(page=b"\x04" + PAGE + b"\x04") + b"@PJL EOJ\r\n" + UEL, PAGE),
        (b"\x04" + PAGE + b"\x04\x04", PAGE),
        (b"%PDF-1.4\n\x04 in the middle", b"%PDF-1.4\n\x04 in the middle"),
        (PAGE + UEL + b"\r\n\x04", PAGE),
    ],
)
def test_one_document_is_unwrapped(stream: bytes, alone: bytes) -> None:
    one = Unwrapper()
    assert one.feed(stream) + one.close() == alone


@pytest.mark.parametrize("stream", [wrapped() + wrapped(), PAGE + UEL + b"text", UEL + b"@PJL EOJ\r\n"])
def test_what_is_not_one_document_is_refused(stream: bytes) -> None:
    one = Unwrapper()
    with pytest.raises(PermanentFailure, match="send"):
        _ = one.feed(stream), one.close()


# -- promises


STREAMS = st.lists(
    st.one_of(st.sampled_from([*target.WORDS, b"\x1b", b"12345X", b"@", b"PJL", b"\r\n", b"a"]), st.binary(max_size=9)),
    max_size=20,
).map(b"".join)


@given(st.binary(min_size=4, max_size=4), STREAMS)
def test_the_promises_of_the_fuzz_target_hold(cuts: bytes, stream: bytes) -> None:
    target.check(cuts + stream)
    target.check(b"\1\1\1\1" + UEL + stream)


def test_memory_stays_flat() -> None:
    """Nothing but a head, a line and a sequence waits, whatever comes."""
    for stream in (
        b"A" * 60_000,
        b"\x1b&l" + b"1" * 60_000,
        b" " * 60_000,
        UEL + b"@PJL " + b"x" * 60_000,
        b"\x1b" * 9_999,
    ):
        one = Filter(F.PCL, ALL, passes=lambda _: True)
        given_out = 0
        for _ in range(5):
            given_out += len(one.feed(stream))
        held = (one._sections._held, one._sections._line, one._head, getattr(one._look, "_held", b""))
        assert sum(map(len, held)) < 4096


# -- the page for people who run a site


def test_the_page_lists_the_allow_list() -> None:
    page = (Path(__file__).parent.parent / "docs" / "firewall.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z]+)` \| `(.+)` \|$", page, re.MULTILINE)
    assert {name: values.replace(r"\|", "|") for name, values in rows} == {
        name: values.replace("(?:", "(") for name, values in SETTINGS.items()
    }
    for treatment in Treatment:
        assert f"`{treatment.value}`" in page
    for counted in COMMANDS:
        assert f"`{counted}`" in page
