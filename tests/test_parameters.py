"""What MAIL and RCPT may say behind the address, and what they may not."""

from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore.address import NULL
from mailstore.failure import PermanentFailure
from mailstore.parameters import (
    NO_MAIL_PARAMETERS,
    NO_RCPT_PARAMETERS,
    MailParameters,
    RcptParameters,
    UnknownParameter,
    decode_xtext,
    parse_mail_from,
    parse_rcpt_to,
)


def encode_xtext(text: str) -> str:
    """RFC 3461 section 4."""
    return "".join(chr(o) if 33 <= o <= 126 and o not in b"+=" else f"+{o:02X}" for o in text.encode())


def test_nothing_said() -> None:
    assert parse_mail_from("<>") == (NULL, NO_MAIL_PARAMETERS) == (NULL, MailParameters())
    assert parse_rcpt_to("<ada@example.com>")[1] is NO_RCPT_PARAMETERS
    assert RcptParameters() == NO_RCPT_PARAMETERS


def test_everything_that_mail_may_say() -> None:
    path, said = parse_mail_from(
        "<Ada@example.com>  size=100 BODY=binaryMIME SMTPUTF8 AUTH=Ada+2BOne@example.com RET=Full ENVID=QQ+2B3141q "
    )
    assert path.address == "Ada@example.com"
    assert said == MailParameters(
        size=100,
        body="BINARYMIME",
        smtputf8=True,
        submitter="Ada+2BOne@example.com",
        ret="FULL",
        envid="QQ+2B3141q",
    )


def test_everything_that_rcpt_may_say() -> None:
    path, said = parse_rcpt_to(' <"a b"@example.com> notify=Delay,SUCCESS ORCPT=RFC822;Ada+2BOne@example.com')
    assert path.address == '"a b"@example.com'
    assert said == RcptParameters(notify="DELAY,SUCCESS", orcpt="RFC822;Ada+2BOne@example.com")


@pytest.mark.parametrize(
    "word",
    [
        *("SIZE=0", "SIZE=" + "9" * 20, "BODY=7BIT", "BODY=8bitmime", "RET=HDRS", "ret=full"),
        *("AUTH=<>", "AUTH=ada@example.com", "AUTH=e+3Dmc2@example.com", "AUTH=+22a+20b+22@example.com"),
        *("AUTH=ada@[192.0.2.1]", "AUTH=gr+C3+BC+C3+9Fe@example.com"),
        *("ENVID=" + "x" * 100, "ENVID=a+20b", "ENVID=<1@example.com>"),
    ],
)
def test_values_of_mail(word: str) -> None:
    _, said = parse_mail_from(f"<> {word}")
    assert said != NO_MAIL_PARAMETERS or word in ("SIZE=0", "BODY=7BIT")


@pytest.mark.parametrize(
    "word",
    [
        *(
            "SIZE",
            "SIZE=",
            "SIZE=many",
            "SIZE=-1",
            "SIZE=1.0",
            "SIZE=+1",
            "SIZE=1_0",
            "SIZE=" + "9" * 21,
            "SIZE=\u0661",
        ),
        *("BODY", "BODY=", "BODY=9BIT", "BODY=8BITMIME,7BIT", "BODY=7B\u0131T", "SMTPUTF8=YES", "SMTPUTF8="),
        *("RET", "RET=", "RET=NONE", "RET=FULL,HDRS", "ENVID", "ENVID=", "ENVID=" + "x" * 101),
        *("ENVID=a+0D+0Ab", "ENVID=+00", "ENVID=+7F", "ENVID=+E9", "ENVID=a+b", "ENVID=a+2b", "ENVID=a=b", "ENVID=é"),
        *("AUTH", "AUTH=", "AUTH=ada", "AUTH=<ada@example.com>", "AUTH=+3C+3E", "AUTH=a+20b@example.com"),
        *("AUTH=a@b>,<c@d", "AUTH=@relay.example:ada@example.com", "AUTH=a@b+0D+0A", "AUTH=a@+00b", "AUTH=+FF@b"),
        *(
            "AUTH=<><>",
            "AUTH=a@b@c",
            "AUTH=a+@b",
            "\u017fIZE=1",
            "SIZE=1\t",
            "SIZE\t=1",
            "=1",
            "-A",
            "A_B",
            "A=\x01",
            "\x00",
        ),
        *("SIZE=1 size=2", "ENVID=a ENVID=a", "SMTPUTF8 SMTPUTF8", "AUTH=<> AUTH=<>", "\u00a0SIZE=1", "SIZE=1\u2003"),
    ],
)
def test_what_mail_may_not_say(word: str) -> None:
    with pytest.raises(PermanentFailure) as failure:
        parse_mail_from(f"<ada@example.com> {word}")
    assert failure.value.status == "5.5.4"
    assert not isinstance(failure.value, UnknownParameter)


@pytest.mark.parametrize(
    "word",
    [
        *("NOTIFY=NEVER", "NOTIFY=SUCCESS", "NOTIFY=FAILURE,DELAY", "NOTIFY=delay,success,Failure"),
        *("ORCPT=rfc822;ada@example.com", "ORCPT=x400;/C+3DSE/S+3DA+20B", "ORCPT=rfc822;" + "x" * 493),
        *(r"ORCPT=utf-8;gr\x{FC}\x{DF}e\x{2B}a@example.com", r"ORCPT=UTF-8;\x{1F600}@example.com"),
    ],
)
def test_values_of_rcpt(word: str) -> None:
    _, said = parse_rcpt_to(f"<ada@example.com> {word}")
    value = word.partition("=")[2]
    assert said == (RcptParameters(orcpt=value) if "ORCPT" in word else RcptParameters(notify=value.upper()))


@pytest.mark.parametrize(
    "word",
    [
        *("NOTIFY", "NOTIFY=", "NOTIFY=ALWAYS", "NOTIFY=NEVER,SUCCESS", "NOTIFY=SUCCESS,NEVER", "NOTIFY=NEVER,NEVER"),
        *(
            "NOTIFY=SUCCESS,SUCCESS",
            "NOTIFY=SUCCESS,",
            "NOTIFY=,SUCCESS",
            "NOTIFY=SUCCESS;DELAY",
            "NOTIFY=\u017fUCCESS",
        ),
        *("ORCPT", "ORCPT=", "ORCPT=rfc822", "ORCPT=;a", "ORCPT=rfc822;", "ORCPT=rfc822;" + "x" * 494),
        *("ORCPT=rfc822;a+0D+0ABcc:b", "ORCPT=rfc822;a+00", "ORCPT=rfc822;é", "ORCPT=rfc822;a+4", "ORCPT=r(c;a"),
        *("ORCPT=utf-8;a+2Bb", r"ORCPT=utf-8;\x{0A}", r"ORCPT=utf-8;\x{D800}", r"ORCPT=utf-8;\x{110000}"),
        *(r"ORCPT=utf-8;\x{FC", r"ORCPT=utf-8;a\b", r"ORCPT=utf-8;\x{85}", r"ORCPT=utf-8;\x{202E}"),
        *("ORCPT=rfc822;a ORCPT=rfc822;b", "NOTIFY=NEVER notify=NEVER"),
    ],
)
def test_what_rcpt_may_not_say(word: str) -> None:
    for utf8 in (False, True):
        with pytest.raises(PermanentFailure) as failure:
            parse_rcpt_to(f"<ada@example.com> {word}", utf8=utf8)
        assert failure.value.status == "5.5.4"
        assert not isinstance(failure.value, UnknownParameter)


def test_what_wants_smtputf8() -> None:
    with pytest.raises(PermanentFailure, match="SMTPUTF8") as failure:
        parse_mail_from("<grüße@bücher.example> SIZE=1")
    assert failure.value.status == "5.1.7"
    path, _ = parse_mail_from("<grüße@bücher.example> smtputf8")
    assert (path.local, path.domain) == ("grüße", "bücher.example")
    word = "<ada@example.com> ORCPT=utf-8;grüße@bücher.example"
    assert parse_rcpt_to(word, utf8=True)[1].orcpt == "utf-8;grüße@bücher.example"
    for words in (word, "<grüße@example.com>"):
        with pytest.raises(PermanentFailure, match="SMTPUTF8"):
            parse_rcpt_to(words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("MT-PRIORITY=3", "MT-PRIORITY"),
        ("SIZE=1 holdfor=10", "HOLDFOR"),
        ("X", "X"),
        ("NOTIFY=NEVER", "NOTIFY"),
        ("A" * 900, "A" * 40),
    ],
)
def test_what_was_not_offered(words: str, told: str) -> None:
    with pytest.raises(UnknownParameter) as failure:
        parse_mail_from(f"<ada@example.com> {words}")
    assert failure.value.text == f"unknown parameter {told}"
    with pytest.raises(UnknownParameter):
        parse_rcpt_to("<ada@example.com> SIZE=1")


def test_parameters_want_ehlo() -> None:
    assert parse_mail_from("<ada@example.com> ", extended=False)[1] is NO_MAIL_PARAMETERS
    for parse in (parse_mail_from, parse_rcpt_to):
        with pytest.raises(UnknownParameter, match="EHLO"):
            parse("<ada@example.com> SIZE=1", extended=False)


@given(st.text(max_size=40))
def test_xtext_there_and_back(text: str) -> None:
    if not text:
        return
    try:
        octets = text.encode()
    except UnicodeEncodeError:
        return
    xtext = encode_xtext(text)
    assert xtext.isascii()
    assert not any(c in xtext for c in " =\r\n\0")
    assert decode_xtext(xtext) == text
    assert len(xtext) <= 3 * len(octets)


@given(st.text(alphabet="+=aF09 \x7f\né", max_size=12))
def test_xtext_is_its_grammar(text: str) -> None:
    well = re.fullmatch(r"(?:[!-*,-<>-~]|\+[0-9A-F][0-9A-F])+", text)
    decoded = decode_xtext(text)
    if decoded is None:
        assert not well or re.search(r"\+[0189A-F][0-9A-F]", text)
    else:
        assert well


PRINTABLE = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30)
MAIL = st.fixed_dictionaries(
    {},
    optional={
        "SIZE": st.integers(0, 10**20 - 1).map(str),
        "BODY": st.sampled_from(["7BIT", "8BITMIME", "BINARYMIME"]),
        "AUTH": st.one_of(st.just("<>"), PRINTABLE.map(lambda text: quoted_mailbox(text))),
        "RET": st.sampled_from(["FULL", "HDRS"]),
        "ENVID": PRINTABLE.map(encode_xtext),
    },
)
ORCPT = st.one_of(
    PRINTABLE.map(lambda text: "rfc822;" + encode_xtext(text)),
    st.text(alphabet=st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30).map(
        lambda text: "utf-8;" + "".join(c if c not in "+=\\" and c.isascii() else f"\\x{{{ord(c):X}}}" for c in text)
    ),
)


def quoted_mailbox(text: str) -> str:
    return encode_xtext('"' + re.sub(r'(["\\])', r"\\\1", text) + '"@example.com')


@given(MAIL, st.randoms(use_true_random=False), st.booleans())
def test_whatever_the_grammar_makes_of_mail_is_read_as_it_was_meant(
    values: dict[str, str], order: random.Random, small: bool
) -> None:
    words = [f"{keyword.lower() if small else keyword}={value}" for keyword, value in values.items()]
    order.shuffle(words)
    _, said = parse_mail_from(f"<ada@example.com> {'  '.join(words)}")
    assert said == MailParameters(
        size=int(values.get("SIZE", "0")),
        body=values.get("BODY", "7BIT"),
        submitter=values.get("AUTH", ""),
        ret=values.get("RET", ""),
        envid=values.get("ENVID", ""),
    )


@given(st.permutations(["SUCCESS", "FAILURE", "DELAY"]), st.integers(1, 3), ORCPT)
def test_whatever_the_grammar_makes_of_rcpt_is_read_as_it_was_meant(times: list[str], some: int, orcpt: str) -> None:
    notify = ",".join(times[:some])
    _, said = parse_rcpt_to(f"<ada@example.com> ORCPT={orcpt} NOTIFY={notify.lower()}")
    assert said == RcptParameters(notify=notify, orcpt=orcpt)


WORDS = st.lists(
    st.one_of(
        st.sampled_from(["SIZE=1", "BODY=7BIT", "SMTPUTF8", "AUTH=<>", "RET=HDRS", "ENVID=a", "NOTIFY=NEVER", ""]),
        st.builds(
            "{}={}".format,
            st.sampled_from(["SIZE", "AUTH", "ENVID", "ORCPT", "notify", "ORCPT=rfc822;a", "X"]),
            st.text(alphabet="aD0;+=<>@,\\x{} \t\r\n\0é\u202e", max_size=12),
        ),
        st.text(max_size=6),
    ),
    max_size=5,
)


@given(WORDS, st.booleans())
def test_nothing_but_failures_and_no_control_character(words: list[str], utf8: bool) -> None:
    line = f"<ada@example.com> {' '.join(words)}"
    kept: list[str] = []
    for parse in (parse_mail_from, lambda text: parse_rcpt_to(text, utf8=utf8)):
        try:
            path, said = parse(line)
        except PermanentFailure:
            continue
        assert path.address == "ada@example.com"
        if isinstance(said, MailParameters):
            kept += [said.submitter, said.envid]
        else:
            kept += [said.orcpt]
    for value in kept:
        assert value == "" or value in line
        assert " " not in value
        assert value.isprintable()
        assert value.startswith("utf-8;") or (decode_xtext(value) or "").isprintable()


@pytest.mark.parametrize(
    "words",
    ["A=" * 50_000, "ENVID=" + "+" * 100_000, "AUTH=" + "a." * 50_000, "SIZE=" + "1" * 100_000, "X " * 50_000,
     "ORCPT=utf-8;" + "\\x{" * 30_000, "NOTIFY=" + "SUCCESS," * 20_000, "AUTH=" + "+22" * 30_000],
)  # fmt: skip
def test_long_nonsense_is_quick(words: str) -> None:
    begun = time.process_time()
    for parse in (parse_mail_from, parse_rcpt_to):
        with pytest.raises(PermanentFailure):
            parse(f"<ada@example.com> {words}")
    assert time.process_time() - begun < 0.1
