"""The envelope's grammar: what RFC 5321 allows, what it refuses, and nothing in between."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore.address import NULL, Path, canonical, parse_mail_from, parse_path, parse_rcpt_to, split_subaddress
from mailstore.failure import PermanentFailure


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("<ada@example.com>", Path("ada", "example.com", "ada@example.com")),
        ("<Ada.Lovelace+x=1@EXAMPLE.com>", Path("Ada.Lovelace+x=1", "EXAMPLE.com", "Ada.Lovelace+x=1@EXAMPLE.com")),
        ("<a@host>", Path("a", "host", "a@host")),
        ("<a@xn--bcher-kva.example>", Path("a", "xn--bcher-kva.example", "a@xn--bcher-kva.example")),
        ('<"ada lovelace"@example.com>', Path("ada lovelace", "example.com", '"ada lovelace"@example.com')),
        ('<"a\\"\\\\>b"@example.com>', Path('a"\\>b', "example.com", '"a\\"\\\\>b"@example.com')),
        ('<"ada"@example.com>', Path("ada", "example.com", "ada@example.com")),
        ("<a@[192.0.2.7]>", Path("a", "[192.0.2.7]", "a@[192.0.2.7]")),
        ("<a@[IPv6:2001:db8::1]>", Path("a", "[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]")),
        ("<@relay.example,@two.example:ada@example.com>", Path("ada", "example.com", "ada@example.com")),
        ("<Postmaster>", Path("Postmaster", "", "Postmaster")),
        ("<" + "a" * 64 + "@example.com>", Path("a" * 64, "example.com", "a" * 64 + "@example.com")),
    ],
)
def test_paths(text: str, path: Path) -> None:
    assert parse_path(text, null_allowed=False) == path
    assert parse_path(f"<{path.address}>", null_allowed=False) == path


@pytest.mark.parametrize(
    "text",
    [
        *(
            "<a@b.c",
            "a@b.c>",
            "a@b.c",
            "<a@b.c>>",
            "<>",
            "<a@b.c> ",
            " <a@b.c>",
            "<a @b.c>",
            "<a@ b.c>",
            "",
            "<",
            '<">',
        ),
        *("<a.@b.c>", "<.a@b.c>", "<a..b@b.c>", "<a@b..c>", "<a@.b>", "<a@-b>", "<a@b->", "<a@b_c>", "<a@b.c.>"),
        *("<a@b@c>", "<a@@b.c>", "<(x)a@b.c>", "<a@b.c(x)>", "<ada>", "<@b.c>", "<a@>", "<@x:>", "<@x@y.z>"),
        *("<a@[1.2.3]>", "<a@[300.1.1.1]>", "<a@[IPv6:zz]>", "<a@[x:y]>", "<a@[]>", "<a@[1.2.3.4>"),
        *('<"a@b.c>', '<"a"b@b.c>', '<"a\x01"@b.c>', "<a\r\n@b.c>", "<a@b.c\0>", "<ä@b.c>", "<a@bücher.example>"),
    ],
)
def test_what_is_no_forward_path(text: str) -> None:
    with pytest.raises(PermanentFailure) as failure:
        parse_path(text, null_allowed=False)
    assert failure.value.status == "5.1.3"


@pytest.mark.parametrize(
    "text",
    [
        "<" + "a" * 65 + "@example.com>",
        "<a@" + "b" * 64 + ".example>",
        "<a@" + "b.c" * 90 + ">",
        "<" + "a" * 60 + "@" + "bcdefghij." * 20 + "com>",
        '<"' + "\\a" * 65 + '"@example.com>',
    ],
)
def test_lengths(text: str) -> None:
    with pytest.raises(PermanentFailure, match="long"):
        parse_path(text, null_allowed=True)


def test_reverse_paths() -> None:
    assert parse_path("<>", null_allowed=True) is NULL
    assert parse_mail_from("<>") == (NULL, {})
    for text in ("<ada>", "ada@example.com", "<Postmaster>", "< >"):
        with pytest.raises(PermanentFailure) as failure:
            parse_mail_from(text)
        assert failure.value.status == "5.1.7"


def test_parameters() -> None:
    path, parameters = parse_mail_from("<ada@example.com>  size=100 BODY=8BITMIME SMTPUTF8 AUTH=a+3Db RET=Full ")
    assert path.address == "ada@example.com"
    assert parameters == {"SIZE": "100", "BODY": "8BITMIME", "SMTPUTF8": "", "AUTH": "a+3Db", "RET": "Full"}
    assert parse_rcpt_to(' <"a b"@example.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a')[1]["ORCPT"] == "rfc822;a"


@pytest.mark.parametrize(
    "tail", [" SIZE=", " =1", " A=b=c", " A B A", " a A", " -A", " A=\x01", " A=ä", " A_B", " A\tB"]
)
def test_bad_parameters(tail: str) -> None:
    with pytest.raises(PermanentFailure) as failure:
        parse_rcpt_to("<ada@example.com>" + tail)
    assert failure.value.status == "5.5.4"


def test_parameters_want_a_space() -> None:
    with pytest.raises(PermanentFailure, match="without a space"):
        parse_mail_from("<ada@example.com>SIZE=1")


def test_addresses_beyond_ascii() -> None:
    path, parameters = parse_mail_from("<grüße@bücher.example> SMTPUTF8", utf8=True)
    assert (path.local, path.domain, parameters) == ("grüße", "bücher.example", {"SMTPUTF8": ""})
    with pytest.raises(PermanentFailure, match="SMTPUTF8"):
        parse_rcpt_to("<grüße@example.com>")
    for text in ("<a\u0085b@example.com>", "<" + "ü" * 33 + "@example.com>", "<a\ud800@example.com>"):
        with pytest.raises(PermanentFailure):
            parse_path(text, utf8=True, null_allowed=False)


def test_subaddresses() -> None:
    split = split_subaddress
    assert split("phaser360+copies=2+duplex@example.com") == ("phaser360@example.com", ("copies=2", "duplex"))
    assert split("phaser360@example.com") == ("phaser360@example.com", ())
    assert split("phaser360+@example.com") == ("phaser360@example.com", ())
    assert split("+a@example.com") == ("+a@example.com", ())
    assert split('"a+b c"@example.com') == ('"a+b c"@example.com', ())
    assert split("phaser360+a") == ("phaser360", ("a",))


def test_canonical() -> None:
    assert canonical("Ada@EXAMPLE.com") == "ada@example.com"
    assert canonical('"Ada"@example.com') == "ada@example.com"
    assert canonical('"Ada L"@example.com') == '"ada l"@example.com'
    assert canonical("gru\u0308ße@example.com") == canonical("GRÜSSE@example.com")


@given(st.text(alphabet='ab.@<>"\\ +-_[]:,=1\t\r\nüI', max_size=40), st.booleans(), st.booleans())
def test_nothing_but_failures(text: str, utf8: bool, null_allowed: bool) -> None:
    for candidate in (text, f"<{text}>", f"<a@b> {text}"):
        canonical(candidate)
        split_subaddress(candidate)
        for parse in (parse_mail_from, parse_rcpt_to):
            try:
                path, _ = parse(candidate, utf8=utf8)
            except PermanentFailure:
                continue
            assert not any(c in path.address for c in "\r\n\t")
            if path.address:
                assert parse_path(f"<{path.address}>", utf8=utf8, null_allowed=bool(path.domain)) == path


@pytest.mark.parametrize(
    "text",
    ["<" + "a." * 50_000, "<" + "@a," * 30_000, '<"' + "\\a" * 50_000, "<a@" + "a-" * 50_000, "<a@b> " + "A=" * 50_000],
)
def test_long_nonsense_is_quick(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(PermanentFailure):
        parse_rcpt_to(text)
    assert time.process_time() - begun < 0.1
