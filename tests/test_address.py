"""The envelope's grammar: what RFC 5321 allows, what it refuses, and nothing in between."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore.address import NULL, Path, canonical, leading_path, parse_path, split_subaddress
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
        *(
            "<a@b@c>",
            "<a@@b.c>",
            "<(x)a@b.c>",
            "<a@b.c(x)>",
            "<ada>",
            "<@b.c>",
            "<a@>",
            "<@x:>",
            "<@x@y.z>",
            "<@x:postmaster>",
        ),
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
    assert leading_path("<>", null_allowed=True) == (NULL, "")
    for text in ("<ada>", "ada@example.com", "<Postmaster>", "< >"):
        with pytest.raises(PermanentFailure) as failure:
            leading_path(text, null_allowed=True)
        assert failure.value.status == "5.1.7"


def test_what_stands_behind_a_path() -> None:
    path, rest = leading_path(' <"a b"@example.com>  SIZE=1 A ', null_allowed=True)
    assert (path.address, rest) == ('"a b"@example.com', "  SIZE=1 A")
    with pytest.raises(PermanentFailure, match="without a space"):
        leading_path("<ada@example.com>SIZE=1", null_allowed=True)


def test_addresses_beyond_ascii() -> None:
    path = parse_path("<grüße@bücher.example>", utf8=True, null_allowed=True)
    assert (path.local, path.domain) == ("grüße", "bücher.example")
    with pytest.raises(PermanentFailure, match="SMTPUTF8"):
        parse_path("<grüße@example.com>", null_allowed=False)
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
    assert canonical("gru\u0308ße@example.com") == canonical("GRÜßE@Example.com") == "grüße@example.com"
    for other, address in (("grüße", "grüsse"), ("\u017feymour", "seymour"), ("\ufb03", "ffi"), ("\uff41", "a")):
        assert canonical(f"{other}@example.com") != canonical(f"{address}@example.com")
        assert canonical(f"ada@{other}.example") != canonical(f"ada@{address}.example")


@pytest.mark.parametrize(
    ("domain", "form"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.Example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("printer.xn--bcher-kva.bücher", "printer.xn--bcher-kva.xn--bcher-kva"),
        ("straße.example", "xn--strae-oqa.example"),  # IDNA2008; in IDNA2003 it was strasse.example
        # Not U-labels, so nobody's domain but their own.
        ("\uff45xample.com", "\uff45xample.com"),
        ("bücher\u3002example", "bücher\u3002example"),
        ("\u200dü.example", "\u200dü.example"),
        ("☃.example", "☃.example"),
        ("ü_b.example", "ü_b.example"),
        ("ü" * 100 + ".example", "ü" * 100 + ".example"),
        ("ü..example", "ü..example"),
    ],
)
def test_a_domain_has_one_form(domain: str, form: str) -> None:
    assert canonical(f"Größe+A@{domain}") == f"größe+a@{form}"
    assert canonical(canonical(f"a@{domain}")) == f"a@{form}"


def test_a_word_without_a_domain_stays_one() -> None:
    assert canonical("Größe") == "größe"


@given(st.text(max_size=20), st.text(max_size=20))
def test_canonical_is_what_it_is(text: str, domain: str) -> None:
    once = canonical(f"{text}@{domain}.com")
    assert canonical(once) == once


def grammar(letters: str, quotable: str) -> st.SearchStrategy[tuple[str, str, str]]:
    """Paths by RFC 5321 section 4.1.2: as written, and the local part and the domain that they mean."""
    letters_digits = letters + "0123456789"
    atom = st.text(alphabet=letters_digits + "!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=8)
    atoms = st.lists(atom, min_size=1, max_size=3).map(".".join)
    quoted = st.text(alphabet=quotable, max_size=10).map(
        lambda text: ('"' + "".join(f"\\{c}" if c in '"\\' else c for c in text) + '"', text)
    )
    label = st.from_regex(
        re.compile(rf"[{letters_digits}]{{1,9}}(-{{1,2}}[{letters_digits}]{{1,9}}){{0,2}}"), fullmatch=True
    )
    name = st.lists(label, min_size=1, max_size=4).map(".".join)
    literal = st.one_of(
        st.ip_addresses(v=4).map(lambda ip: f"[{ip}]"), st.ip_addresses(v=6).map(lambda ip: f"[IPv6:{ip}]")
    )
    route = st.lists(name, max_size=3).map(lambda hosts: ",".join(f"@{host}" for host in hosts) + ":" if hosts else "")
    local = st.one_of(atoms.map(lambda text: (text, text)), quoted)
    return st.tuples(route, local, st.one_of(name, literal)).map(
        lambda parts: (f"<{parts[0]}{parts[1][0]}@{parts[2]}>", parts[1][1], parts[2])
    )


ASCII = "abcXYZ"
PRINTABLE = "".join(map(chr, range(32, 127)))


@given(st.one_of(grammar(ASCII, PRINTABLE), grammar(ASCII + "üßж中", PRINTABLE + "é\u200d😀")))
def test_whatever_the_grammar_makes_is_read_as_it_was_meant(made: tuple[str, str, str]) -> None:
    text, local, domain = made
    if len(local.encode()) > 64 or len(domain.encode()) > 200:
        return
    path = parse_path(text, utf8=True, null_allowed=False)
    assert (path.local, path.domain) == (local, domain)
    assert parse_path(f"<{path.address}>", utf8=True, null_allowed=False) == path
    if text.isascii():
        assert parse_path(text, null_allowed=True) == path
    assert leading_path(f" {text}  A=b ", utf8=True, null_allowed=False) == (path, "  A=b")


@given(
    grammar(ASCII, PRINTABLE),
    st.integers(0, 80),
    st.sampled_from([*map(chr, range(33)), "\x7f", "<", ">", "é", "\u202e"]),
)
def test_one_character_more_never_gets_through_outside_quotes(made: tuple[str, str, str], at: int, more: str) -> None:
    text = made[0][: at + 1] + more + made[0][at + 1 :]
    try:
        path = parse_path(text, null_allowed=False)
    except PermanentFailure:
        return
    assert more in PRINTABLE
    assert more in path.local
    assert path.address.startswith('"')


@given(st.text(alphabet='ab.@<>"\\ +-_[]:,=1\t\r\nüI', max_size=40), st.booleans(), st.booleans())
def test_nothing_but_failures(text: str, utf8: bool, null_allowed: bool) -> None:
    for candidate in (text, f"<{text}>", f"<a@b> {text}"):
        canonical(candidate)
        split_subaddress(candidate)
        try:
            path, rest = leading_path(candidate, utf8=utf8, null_allowed=null_allowed)
        except PermanentFailure:
            continue
        assert not any(c in path.address for c in "\r\n\t")
        assert rest == "" or rest.startswith(" ")
        if path.address:
            assert parse_path(f"<{path.address}>", utf8=utf8, null_allowed=bool(path.domain)) == path


@pytest.mark.parametrize(
    "text",
    ["<" + "a." * 50_000, "<" + "@a," * 30_000, '<"' + "\\a" * 50_000, "<a@" + "a-" * 50_000],
)
def test_long_nonsense_is_quick(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(PermanentFailure):
        parse_path(text, null_allowed=False)
    assert time.process_time() - begun < 0.1


@pytest.mark.parametrize(
    "sign", ["\u0085", "\u00a0", "\u00ad", "\u200b", "\u2028", "\u202e", "\u2066", "\ufeff", "\ue000"]
)
def test_what_cannot_be_seen_is_in_no_address(sign: str) -> None:
    for text in (f"<ada{sign}@example.com>", f"<ada@exam{sign}ple.com>", f'<"ada{sign}"@example.com>'):
        with pytest.raises(PermanentFailure):
            parse_path(text, utf8=True, null_allowed=False)


def test_no_other_character_becomes_an_ascii_one() -> None:
    for sign in map(chr, (*range(0xA0, 0xD800), *range(0xE000, 0x110000))):
        if canonical(f"a{sign}").isascii():
            with pytest.raises(PermanentFailure):
                parse_path(f"<a{sign}@example.com>", utf8=True, null_allowed=False)


@pytest.mark.parametrize("local", ["añ", "Übung", "παράδειγμα", "用户", "क्‍ष", "🖨"])
def test_letters_of_all_scripts_are(local: str) -> None:
    assert parse_path(f"<{local}@example.com>", utf8=True, null_allowed=False).local == local
