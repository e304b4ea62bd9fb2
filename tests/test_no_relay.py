r"""There is no relay: whatever RCPT says, mail goes to the printer it names exactly, or to nobody.

Each case is played twice on a real listener: at port 25 by a client in the site's own networks, who may do most there,
and at submission by somebody logged in.  Afterwards the store is searched: for jobs, people's mail and outgoing mail.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from appliance.smtp.receiver import Receiver
from mailstore.job import Job
from tests.smtp_client import ADA, LETTER, ROOT, Site, Wire, site, submission, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

OUTSIDE = ("192.0.2.0/24",)
DOMAINS = ("example.com", "example.org")
RELAYING, NOBODY, MALFORMED, PARAMETER = "550 5.7.1 relaying denied", "550 5.1.1", "501 5.1.3", "501 5.5.4"
PRINTER = "phaser360"  # it is delivered there, and only there

FAMILIES: dict[str, list[tuple[str | bytes, str]]] = {
    "source routes": [
        ("<@relay.example:phaser360@example.com>", PRINTER),  # RFC 5321 appendix C: the route is left out of account
        ("<@example.com:victim@elsewhere.example>", RELAYING),
        ("<@example.com,@elsewhere.example:victim@elsewhere.example>", RELAYING),
        ("<@example.com,@example.com:phaser360@elsewhere.example>", RELAYING),
        ("<@example.com:@elsewhere.example:victim@example.com>", MALFORMED),
        ("<@example.com:phaser360@example.com@elsewhere.example>", MALFORMED),
        ("<@example.com:victim>", MALFORMED),
        ("<@elsewhere.example:postmaster>", MALFORMED),
        ("<@elsewhere.example>", MALFORMED),
        ("<@elsewhere.example:>", MALFORMED),
        ("<@example.com,victim@elsewhere.example>", MALFORMED),
        ("<@[192.0.2.1]:victim@elsewhere.example>", MALFORMED),
    ],
    "percent": [
        ("<victim%elsewhere.example@example.com>", NOBODY),
        ("<phaser360%elsewhere.example@example.com>", NOBODY),
        ("<phaser360%example.com@elsewhere.example>", RELAYING),
        ("<victim%elsewhere.example@[127.0.0.1]>", RELAYING),
        ("<victim%elsewhere.example%example.com@example.com>", NOBODY),
        ("<victim%elsewhere.example>", MALFORMED),
        ("<%@example.com>", NOBODY),
    ],
    "percent-encoded": [
        ("<victim%40elsewhere.example@example.com>", NOBODY),
        ("<phaser360%40example.com>", MALFORMED),
        ("%3Cphaser360@example.com%3E", MALFORMED),
        ("<phaser360%00@example.com>", NOBODY),
        ("<phaser360%0D%0ARCPT@example.com>", NOBODY),
        ("<phaser360@example%2Ecom>", MALFORMED),
    ],
    "bang": [
        ("<elsewhere.example!victim@example.com>", NOBODY),
        ("<elsewhere.example!phaser360@example.com>", NOBODY),
        ("<example.com!phaser360@elsewhere.example>", RELAYING),
        ("<elsewhere.example!victim>", MALFORMED),
        ("<victim@elsewhere.example!example.com>", MALFORMED),
        ("<!@example.com>", NOBODY),
    ],
    "quoted": [
        ('<"victim@elsewhere.example"@example.com>', NOBODY),
        ('<"phaser360@example.com"@elsewhere.example>', RELAYING),
        ('<"victim@elsewhere.example">', MALFORMED),
        ('<"victim%elsewhere.example"@example.com>', NOBODY),
        ('<"elsewhere.example!victim"@example.com>', NOBODY),
        ('<"@elsewhere.example:victim"@example.com>', NOBODY),
        ('<"victim@elsewhere.example>,<phaser360"@example.com>', NOBODY),
        ('<"phaser360"@example.com>', PRINTER),
        (r'<"\p\h\a\s\e\r\3\6\0"@example.com>', PRINTER),
        ('<"phaser360 "@example.com>', NOBODY),
        ('<" phaser360"@example.com>', NOBODY),
        ('<"phaser360\\"@example.com>', MALFORMED),
        ('<"phaser360""x"@example.com>', MALFORMED),
        ('<"phaser"360@example.com>', MALFORMED),
        ('<""@example.com>', NOBODY),
        ("<'phaser360'@example.com>", NOBODY),
        ("<`phaser360`@example.com>", NOBODY),
    ],
    "literals": [
        ("<victim@[192.0.2.1]>", RELAYING),
        ("<phaser360@[127.0.0.1]>", RELAYING),  # ours, but printers are known by names
        ("<phaser360@[IPv6:::1]>", RELAYING),
        ("<victim@[IPv6:2001:db8::1]>", RELAYING),
        ("<victim@[IPv6:::ffff:192.0.2.1]>", RELAYING),
        ("<victim@192.0.2.1>", RELAYING),
        ("<victim@3221225985>", RELAYING),
        ("<victim@#3221225985>", MALFORMED),
        ("<victim@[elsewhere.example]>", MALFORMED),
        ("<phaser360@[example.com]>", MALFORMED),
        ("<victim@[192.0.2.1>", MALFORMED),
        ("<victim@[192.0.2.1]example.com>", MALFORMED),
        ("<victim@[]>", MALFORMED),
    ],
    "control characters": [
        *((b"<phaser360" + bytes([octet]) + b"@example.com>", MALFORMED) for octet in b"\0\1\b\t\v\f\r\x1b\x7f"),
        *((b"<phaser360@example.com" + bytes([octet]) + b">", MALFORMED) for octet in b"\0\t\r\x7f"),
        *((b"<phaser360@example.com>" + bytes([octet]), MALFORMED) for octet in b"\0\t\r\x7f"),
        *((b"\t<phaser360@example.com>", MALFORMED), (b"\0<phaser360@example.com>", MALFORMED)),
        (b"<phaser360@example.com\0victim@elsewhere.example>", MALFORMED),
        (b"<victim@elsewhere.example\0@example.com>", MALFORMED),
        (b'<"phaser360\0"@example.com>', MALFORMED),
        (b'<"phaser360\\\0"@example.com>', MALFORMED),
        (b"<phaser360@example.com> A=\0", PARAMETER),
        (b"<phaser360@example.com>\rRCPT TO:<victim@elsewhere.example>", MALFORMED),
        (b"<phaser360@example.com>\nRCPT TO:<victim@elsewhere.example>", "500 5.5.2 a line ends with CR and LF"),
        (b"<phaser360@example.com\xff>", "500 5.5.2"),  # no UTF-8, so no command
        (b"<phaser360\xc0\xa0@example.com>", "500 5.5.2"),
    ],
    "several addresses": [
        ("<phaser360@example.com>,<victim@elsewhere.example>", MALFORMED),
        ("<phaser360@example.com>;<victim@elsewhere.example>", MALFORMED),
        ("<phaser360@example.com><victim@elsewhere.example>", MALFORMED),
        ("<phaser360@example.com> <victim@elsewhere.example>", PARAMETER),
        ("<phaser360@example.com>, <victim@elsewhere.example>", MALFORMED),
        ("<phaser360@example.com,victim@elsewhere.example>", MALFORMED),
        ("<phaser360@example.com;victim@elsewhere.example>", MALFORMED),
        ("<phaser360@example.com victim@elsewhere.example>", MALFORMED),
        ("<phaser360,victim@example.com>", MALFORMED),
        ("<phaser360;victim@example.com>", MALFORMED),
        ("<victim@elsewhere.example,phaser360@example.com>", MALFORMED),
        ("<printers: phaser360@example.com, victim@elsewhere.example;>", MALFORMED),
        ("<|cat>", MALFORMED),
        ("<|cat@example.com>", NOBODY),
        ("</etc/passwd@example.com>", NOBODY),
        ("<*@example.com>", NOBODY),
        ("<phaser360)(mail=*@example.com>", MALFORMED),
        ('<"phaser360)(mail=*"@example.com>', NOBODY),
        ('<"*"@example.com>', NOBODY),
    ],
    "dots": [
        ("<victim@elsewhere.example.>", MALFORMED),
        ("<phaser360@example.com.>", MALFORMED),
        ("<phaser360@example.com..>", MALFORMED),
        ("<phaser360.@example.com>", MALFORMED),
        ("<.phaser360@example.com>", MALFORMED),
        ("<phaser360@.example.com>", MALFORMED),
        ("<phaser360@example..com>", MALFORMED),
        ("<phaser360@.>", MALFORMED),
        ("<phaser360.@.example.com>", MALFORMED),
    ],
    "names like ours": [
        ("<PHASER360@EXAMPLE.COM>", PRINTER),
        ("<VICTIM@ELSEWHERE.EXAMPLE>", RELAYING),
        ("<phaser360@sub.example.com>", RELAYING),
        ("<phaser360@mail.example.com>", RELAYING),
        ("<phaser360@notexample.com>", RELAYING),
        ("<phaser360@example.com.elsewhere.example>", RELAYING),
        ("<phaser360@example>", RELAYING),
        ("<phaser360@com>", RELAYING),
        ("<phaser360@localhost>", RELAYING),
        ("<phaser360@example.org>", NOBODY),  # ours, but the printer is under the other one
        ("<phaser360@example-com>", RELAYING),
        ("<phaser360@example.com->", MALFORMED),
        ("<phaser360@_example.com>", MALFORMED),
    ],
    "brackets and blanks": [
        ("phaser360@example.com", MALFORMED),
        ("<phaser360@example.com", MALFORMED),
        ("phaser360@example.com>", MALFORMED),
        ("<<phaser360@example.com>>", MALFORMED),
        ("<phaser360@example.com>>", MALFORMED),
        ("<phaser360@example.com>x", MALFORMED),
        ("< phaser360@example.com>", MALFORMED),
        ("<phaser360@example.com >", MALFORMED),
        ("<phaser360 @example.com>", MALFORMED),
        ("<phaser360@ example.com>", MALFORMED),
        ("Phaser <phaser360@example.com>", MALFORMED),
        ('"Phaser" <phaser360@example.com>', MALFORMED),
        ("<phaser360@example.com>=<victim@elsewhere.example>", MALFORMED),
        ("mailto:phaser360@example.com", MALFORMED),
        ("<mailto:phaser360@example.com>", MALFORMED),
        ("  <phaser360@example.com>  ", PRINTER),
        ("<>", MALFORMED),
        ("", MALFORMED),
    ],
    "backslashes": [
        (r"<phaser360\@elsewhere.example@example.com>", MALFORMED),
        (r"<\phaser360@example.com>", MALFORMED),
        (r"<phaser360@example.com\@elsewhere.example>", MALFORMED),
        (r"<elsewhere.example\victim@example.com>", MALFORMED),
        (r"<\<phaser360@example.com\>>", MALFORMED),
        (r'<"elsewhere.example\\victim"@example.com>', NOBODY),
    ],
    "comments": [
        ("<phaser360(x)@example.com>", MALFORMED),
        ("<(x)phaser360@example.com>", MALFORMED),
        ("<phaser360@example.com(@elsewhere.example)>", MALFORMED),
        ("<phaser360@(elsewhere.example)example.com>", MALFORMED),
        ("<phaser360@example.com> (comment)", PARAMETER),
    ],
    "very long": [
        ("<" + "v" * 65 + "@example.com>", MALFORMED),
        ("<phaser360@" + "e" * 64 + ".example>", MALFORMED),
        ("<phaser360@" + "e." * 126 + "example.com>", MALFORMED),
        ("<" + "@elsewhere.example," * 60 + "@example.com:victim@elsewhere.example>", RELAYING),
        ("<phaser360+" + "+".join(["sides=two-sided-long-edge", "copies=999"]) + "@example.com>", PRINTER),
        ("<phaser360+" + "x" * 54 + "@example.com>", "550 5.1.3"),
        ("<phaser360@example.com> ORCPT=rfc822;" + "x" * 600, PARAMETER),
        ("<phaser360@example.com>" + " " * 3000 + "x", "500 5.5.2 the line is too long"),
    ],
    "ORCPT and NOTIFY steer nothing": [
        ("<phaser360@example.com> ORCPT=rfc822;victim@elsewhere.example NOTIFY=SUCCESS,FAILURE,DELAY", PRINTER),
        ("<phaser360@example.com> ORCPT=rfc822;closed@example.com", PRINTER),
        ("<victim@elsewhere.example> ORCPT=rfc822;phaser360@example.com", RELAYING),
        ("<nobody@example.com> ORCPT=rfc822;phaser360@example.com", NOBODY),
        ("<phaser360@example.com> ORCPT=victim@elsewhere.example", PARAMETER),
        ("<phaser360@example.com> ORCPT=rfc822;<victim@elsewhere.example>,victim@elsewhere.example", PRINTER),
        ("<phaser360@example.com> ORCPT=rfc822;a@b+0D+0ARCPT+20TO:<victim@elsewhere.example>", PARAMETER),
        ("<phaser360@example.com> ORCPT=rfc822;a ORCPT=rfc822;b", PARAMETER),
        ("<phaser360@example.com> RCPT=victim@elsewhere.example", "555 5.5.4"),
    ],
    "look-alikes": [
        ("<phaser360@ex\u0430mple.com>", RELAYING),  # a Cyrillic letter
        ("<phaser360@\uff45xample.com>", RELAYING),  # a wide letter
        ("<phaser360@example\u3002com>", RELAYING),  # a wide full stop, which some resolvers take for one
        ("<phaser360@example.com\u200b>", MALFORMED),  # a space without width
        ("<phaser360@xn--exmple-4nf.com>", RELAYING),
        ("<pha\u0455er360@example.com>", NOBODY),
        ("<pha\u017fer360@example.com>", NOBODY),  # whose capital is an S
        ("<\uff50haser360@example.com>", NOBODY),
        ("<phaser36\u2070@example.com>", NOBODY),
        ("<phaser\u00ad360@example.com>", MALFORMED),
        ("<phaser360\u200d@example.com>", NOBODY),
        ("<phaser360\uff20elsewhere.example@example.com>", NOBODY),  # a wide @
        ("<phaser360\uff20example.com>", MALFORMED),
        ("<victim@elsewhere.example\u2028@example.com>", MALFORMED),
        ("\u2039phaser360@example.com\u203a", MALFORMED),
        ("<phaser360\u0085@example.com>", MALFORMED),
    ],
}
CASES = [
    pytest.param(*case, id=f"{name}-{number}") for name, cases in FAMILIES.items() for number, case in enumerate(cases)
]


@dataclass(slots=True)
class Shop:
    house: Site
    receiver: Receiver
    outside: Receiver


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with (
        site(tmp_path_factory.mktemp("relay")) as house,
        house.receiver(domains=DOMAINS) as receiver,
        house.receiver(domains=DOMAINS, networks=OUTSIDE) as outside,
    ):
        yield Shop(house, receiver, outside)


async def kept(house: Site) -> tuple[list[Job], int]:
    """All jobs, and how many mails lie with people or wait to go out."""
    mails = (await house.store.outgoing()).waiting
    for person in (ADA, ROOT):
        maildrop = await house.store.open_maildrop(person.maildrop, "test", 60)
        assert maildrop is not None
        mails += len(maildrop.entries)
        await maildrop.close()
    return sorted(await house.store.jobs(limit=10_000), key=lambda job: job.id), mails


async def replies_to(client: Wire, line: bytes) -> list[str]:
    """All that is said to `line`, which may be more than one command to somebody."""
    await client.send(line + b"\r\n")
    await client.send(b"VRFY end\r\n")
    replies = []
    while not (reply := await client.reply()).startswith("252 "):
        replies.append(reply)
    return replies


async def attempt(house: Site, client: Wire, mail: str, argument: str | bytes) -> tuple[list[str], list[Job]]:
    """What is said to RCPT, and the jobs that come of a mail to whomever it let in; nothing else may come of it."""
    before, mails = await kept(house)
    octets = argument.encode() if isinstance(argument, str) else argument
    assert await client.ask(mail) == "250 2.1.0 sender ok"
    replies = await replies_to(client, b"RCPT TO:" + octets)
    if (await client.ask("DATA")).startswith("354 "):
        await client.send(LETTER + b".\r\n")
        await client.reply()
    await client.ask("RSET")
    after, mails_after = await kept(house)
    assert mails_after == mails
    return replies, after[len(before) :]


def judge(replies: list[str], jobs: list[Job], outcome: str) -> None:
    if outcome == PRINTER:
        assert replies == ["250 2.1.5 recipient ok"]
        assert [job.printer for job in jobs] == [PRINTER]
    else:
        assert jobs == []
        assert replies[0].startswith(outcome), replies
        assert all(reply[0] in "45" for reply in replies), replies


@pytest.mark.parametrize(("argument", "outcome"), CASES)
async def test_an_insider_at_port_25(shop: Shop, argument: str | bytes, outcome: str) -> None:
    async with wire(shop.receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        judge(*await attempt(shop.house, client, "MAIL FROM:<ada@example.com> SMTPUTF8", argument), outcome)


@pytest.mark.parametrize("family", FAMILIES)
async def test_somebody_logged_in_at_submission(shop: Shop, family: str) -> None:
    for argument, outcome in FAMILIES[family]:
        async with submission(shop.house, shop.receiver) as client:
            judge(*await attempt(shop.house, client, "MAIL FROM:<ada@example.com> SMTPUTF8", argument), outcome)


@pytest.mark.parametrize(
    ("mail", "rcpt", "answer"),
    [
        ("<>", "<victim@elsewhere.example>", RELAYING),
        ("<>", "<phaser360@example.com>", "550 5.7.1 "),
        ("<>", "<ada@example.com>", NOBODY),
        ("<ada@example.com>", "<victim@elsewhere.example>", RELAYING),  # our own people, says a stranger
        ("<ada@example.com>", "<root@example.com>", NOBODY),
        ("<phaser360@example.com>", "<victim@elsewhere.example>", RELAYING),
        ("<postmaster@example.com>", "<victim@elsewhere.example>", RELAYING),
        ("<@example.com:ada@example.com>", "<victim@elsewhere.example>", RELAYING),
        ("<victim@elsewhere.example>", "<victim@elsewhere.example>", RELAYING),
        ("<victim@[127.0.0.1]>", "<victim@elsewhere.example>", RELAYING),
        ("<ada@example.com> AUTH=root@example.com", "<victim@elsewhere.example>", RELAYING),
        ("<ada@example.com> AUTH=root@example.com", "<members@example.com>", "550 5.7.1"),
    ],
)
@pytest.mark.parametrize("where", ["inside", "outside"])
async def test_a_sender_opens_no_way_out(shop: Shop, where: str, mail: str, rcpt: str, answer: str) -> None:
    async with wire(shop.receiver if where == "inside" else shop.outside) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        judge(*await attempt(shop.house, client, f"MAIL FROM:{mail}", rcpt), answer)


async def test_a_stranger_is_not_one_of_us_by_saying_so(shop: Shop) -> None:
    """The printer takes mail from our domain, and a reverse-path proves nothing."""
    async with wire(shop.outside) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        for sender in ("ada@example.com", "phaser360@example.com", "postmaster@example.com"):
            judge(*await attempt(shop.house, client, f"MAIL FROM:<{sender}>", "<colour@example.com>"), "550 5.7.1")


async def test_no_way_out_after_helo_either(shop: Shop) -> None:
    async with wire(shop.receiver) as client:
        await client.reply()
        await client.ask("HELO client.example.com")
        mail = "MAIL FROM:<ada@example.com>"
        judge(*await attempt(shop.house, client, mail, "<victim@elsewhere.example>"), RELAYING)
        judge(*await attempt(shop.house, client, mail, "<phaser360@ex\u0430mple.com>"), MALFORMED)
        judge(*await attempt(shop.house, client, mail, "<phaser360@example.com> ORCPT=rfc822;a"), "555 5.5.4")


async def test_what_is_refused_takes_nothing_from_what_is_let_in(shop: Shop) -> None:
    """Many recipients, one of them a printer: the mail is the printer's alone."""
    before, mails = await kept(shop.house)
    async with wire(shop.receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        await client.ask("MAIL FROM:<ada@example.com>")
        for argument, _ in FAMILIES["percent"]:
            assert (await client.ask(f"RCPT TO:{argument!s}"))[0] == "5"
        assert (await client.ask("RCPT TO:<phaser360@example.com>")).startswith("250 ")
        assert (await client.ask("RCPT TO:<victim@elsewhere.example>")) == RELAYING
        await client.ask("DATA")
        await client.send(b"To: victim@elsewhere.example\r\nBcc: root@example.com\r\n" + LETTER + b".\r\n")
        assert (await client.reply()).startswith("250 2.0.0 accepted as job ")
    after, mails_after = await kept(shop.house)
    assert [job.printer for job in after[len(before) :]] == [PRINTER]
    assert mails_after == mails


ROLES = [
    *("postmaster", "Postmaster", "POSTMASTER@EXAMPLE.COM", "postmaster@example.org", '"postmaster"@example.com'),
    *("abuse@example.com", "Abuse@Example.ORG"),
]


@pytest.mark.parametrize("sender", ["", "ada@example.com", "victim@elsewhere.example"])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("where", ["inside", "outside"])
async def test_postmaster_and_abuse_are_always_there(shop: Shop, where: str, role: str, sender: str) -> None:
    async with wire(shop.receiver if where == "inside" else shop.outside) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        await client.ask(f"MAIL FROM:<{sender}>")
        assert await client.ask(f"RCPT TO:<{role}>") == "250 2.1.5 recipient ok"


async def test_also_for_those_logged_in(shop: Shop) -> None:
    async with submission(shop.house, shop.receiver) as client:
        for role in ROLES:
            await client.ask("MAIL FROM:<ada@example.com>")
            assert await client.ask(f"RCPT TO:<{role}>") == "250 2.1.5 recipient ok"
            await client.ask("RSET")


@pytest.mark.parametrize("role", ["postmaster", "abuse@example.org"])
async def test_their_mail_comes_to_an_administrator_and_goes_nowhere_else(shop: Shop, role: str) -> None:
    jobs, mails = await kept(shop.house)
    async with wire(shop.outside) as client:
        await client.reply()
        assert (await client.mail(LETTER, role)) == "250 2.0.0 accepted"
    after, mails_after = await kept(shop.house)
    assert (after, mails_after) == (jobs, mails + 1)
    maildrop = await shop.house.store.open_maildrop(ROOT.maildrop, "test", 60)
    assert maildrop is not None
    await maildrop.update(list(maildrop.entries))


@pytest.mark.parametrize(
    ("role", "answer"),
    [
        ("<postmaster@elsewhere.example>", RELAYING),
        ("<abuse@elsewhere.example>", RELAYING),
        ("<postmaster@[127.0.0.1]>", RELAYING),
        ("<postmaster%elsewhere.example@example.com>", NOBODY),
        ("<abuse>", MALFORMED),
        ('<"postmaster "@example.com>', NOBODY),
        ("<po\u017ftmaster@example.com>", NOBODY),
        ("<\uff50ostmaster@example.com>", NOBODY),
    ],
)
async def test_what_only_looks_like_them(shop: Shop, role: str, answer: str) -> None:
    async with wire(shop.outside) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        judge(*await attempt(shop.house, client, "MAIL FROM:<> SMTPUTF8", role), answer)
