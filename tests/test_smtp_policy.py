"""Who may print, through real SMTP: a real name server, real signatures, a real store and directory.

Every client comes from 127.0.0.1; which of the site's networks that is, and what SPF says of it, is each test's choice.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import dkim
import nacl.signing
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from appliance.desk import COMMAND_LINE, Desk
from appliance.smtp.receiver import Receiver
from appliance.supposing import Supposed
from mailstore.directory.records import Language, Person, Printer, PrintLimits, Raw
from mailstore.job import Job, Proof
from mailstore.options import token_digest
from tests.dns_server import DnsServer, Fault, dns_server, misbehaving
from tests.documents import postscript
from tests.house import mail_of
from tests.smtp_client import ROOT, Site, Wire, site, submission, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

OUTSIDE = ("192.0.2.0/24",)
DEVICE = "socket://192.0.2.50:9100"  # nobody dials it here
TOKEN = "abcdefghijklmnopqrstuvwxyz"
KEY = nacl.signing.SigningKey(bytes(range(32)))
PUBLIC = "v=DKIM1; k=ed25519; p=" + base64.b64encode(bytes(KEY.verify_key)).decode()
RECORDS = {
    "example.net": {"TXT": ["v=spf1 ip4:127.0.0.1 -all"]},  # its mail server is 127.0.0.1
    "sel._domainkey.example.net": {"TXT": [PUBLIC]},
    "example.org": {"TXT": ["v=spf1 -all"]},  # never by SPF
    "sel._domainkey.example.org": {"TXT": [PUBLIC]},
    "strict.example": {"TXT": ["v=spf1 -all"]},
    "_dmarc.strict.example": {"TXT": ["v=DMARC1; p=reject"]},
}
ADA, BOB = "ada@example.net", "bob@example.org"


def printer(name: str, *allow: str, **more: object) -> Printer:
    known = {"uri": DEVICE, "allow": allow, **more}
    return Printer(name=name, addresses=(f"{name}@example.com",), **known)  # type: ignore[arg-type]


MADE = (
    printer("anyone", "*"),
    printer("authored", f"from:{ADA}", f"from:{BOB}"),
    printer("adas", ADA),
    printer("without-eve", "*", deny=("from:eve@example.net",)),
    printer("staffs", "group:staff"),
    printer("nobodys"),
    printer("careless", "*", unverified_ok=True),
    printer("by-ip", "ip:127.0.0.0/8"),
    printer("polls", "*", uri=""),
    printer("polls-all", "*", uri="", raw=Raw.STRANGER, unverified_ok=True),
    printer("few", "*", limits=PrintLimits(jobs=1)),
    printer("fair", "*", limits=PrintLimits(sender_jobs=1), unverified_ok=True),
    printer("light", "*", limits=PrintLimits(octets=3000)),
    printer("east", "ip:198.51.100.1"),
    printer("west", "ip:198.51.100.1", quota=5000),
    printer("both", ADA, uri="", members=("east", "west")),
    printer("all", "*", uri="", members=("east", "west")),
    printer("laser", "*", unverified_ok=True, languages=(Language.PCL, Language.POSTSCRIPT)),
    printer("trusting", "*", languages=(Language.PCL,), raw=Raw.VERIFIED),
    printer("matrix", "*", unverified_ok=True, languages=(Language.TEXT,)),
    printer("seldom", "*", uri="", members=("anyone", "few-here"), limits=PrintLimits(jobs=1, octets=3000)),
    printer("few-here", "*", limits=PrintLimits(jobs=2)),
    printer("sealed", "*", unverified_ok=True, languages=(Language.PCL, Language.POSTSCRIPT), raw=Raw.NOBODY),
    printer("two-kinds", "*", uri="", unverified_ok=True, members=("laser", "matrix")),
)


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    with dns_server(RECORDS) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("policy")) as made:
        for entry in MADE:
            await made.directory.add(entry, None)
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outside(house: Site, dns: DnsServer) -> AsyncIterator[Receiver]:
    """All clients are strangers."""
    async with house.receiver(networks=OUTSIDE, dns=(dns.address,)) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inside(house: Site) -> AsyncIterator[Receiver]:
    async with house.receiver() as made:
        yield made


def letter(author: str = ADA, to: str = "anyone@example.com", body: str = "print me\r\n", **fields: str) -> bytes:
    head = {"From": author, "To": to, "Subject": "a job", **{name.replace("_", "-"): of for name, of in fields.items()}}
    return ("".join(f"{name}: {value}\r\n" for name, value in head.items()) + "\r\n" + body).encode()


def signed(message: bytes, domain: str = "example.net", *headers: bytes, length: bool = False) -> bytes:
    signature = dkim.sign(
        message,
        b"sel",
        domain.encode(),
        base64.b64encode(bytes(KEY)),
        signature_algorithm=b"ed25519-sha256",
        include_headers=list(headers or (b"from", b"to", b"subject")),
        length=length,
    )
    return bytes(signature) + message


async def say(client: Wire, sender: str, *recipients: str, message: bytes = b"") -> str:
    """A mail on an open connection; the first reply that is no success, else that to the end of the data."""
    for command in (f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{name}@example.com>" for name in recipients), "DATA"):
        answer = await client.ask(command)
        if answer[0] not in "23":
            await client.ask("RSET")
            return answer
    await client.send(message + b".\r\n")
    return await client.reply()


async def mail(receiver: Receiver, sender: str, *recipients: str, message: bytes = b"") -> str:
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.net")
        return await say(client, sender, *recipients, message=message or letter())


def number(reply: str) -> int:
    found = re.fullmatch(r"250 2\.0\.0 accepted as job (\d+)", reply)
    assert found, reply
    return int(found[1])


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def job(house: Site, reply: str) -> Job:
    found = await house.store.job(number(reply))
    assert found is not None
    return found


def told(found: Job) -> tuple[str, Proof, str, bool]:
    return found.trust, found.proof, found.proved, found.answerable


async def header_of(house: Site, name: str) -> bytes:
    """What stands in front of the newest message in a maildrop, as POP3 gives it."""
    drop = await house.store.open_maildrop(name, "test", 60)
    assert drop is not None
    octets = b"".join([block async for block in drop.read(drop.entries[-1])])
    await drop.close()
    return octets.partition(b"\r\n\r\n")[0]


NOT_PROVED = (
    "550 5.7.1 this sender may not print here, or your mail server's SPF or DKIM did not prove that the mail is yours"
)


# -- proof


async def test_spf_proves_the_sender_and_he_may_be_answered(house: Site, outside: Receiver) -> None:
    found = await job(house, await mail(outside, ADA, "adas"))
    assert told(found) == ("verified", Proof.SPF, ADA, True)
    fields = await header_of(house, "adas")
    assert fields.startswith(b"Return-Path: <ada@example.net>\r\nDelivered-To: adas@example.com\r\nAuthentication-Res")
    assert b"mail.example.com;\r\n\tspf=pass" in fields


async def test_spf_fails(outside: Receiver) -> None:
    assert await mail(outside, BOB, "anyone", message=letter(author=BOB)) == NOT_PROVED
    assert await mail(outside, "eve@unknown.example", "anyone", message=letter(author="eve@x.example")) == NOT_PROVED
    assert await mail(outside, BOB, "adas") == NOT_PROVED
    assert await mail(outside, "eve@example.net", "adas") == NOT_PROVED


@pytest.mark.parametrize("fault", [Fault.SERVFAIL, Fault.SILENT])
async def test_a_name_server_that_does_not_answer_puts_off(house: Site, fault: Fault) -> None:
    async with misbehaving(fault) as broken, house.receiver(networks=OUTSIDE, dns=(broken.address,)) as receiver:
        assert await mail(receiver, ADA, "adas", message=letter("eve@elsewhere.example")) == (
            "451 4.4.3 the DNS did not answer what would prove the sender, try again later"
        )
        assert (await mail(receiver, ADA, "careless")).startswith("250 ")
        refused = metric("printpost_smtp_messages_rejected_total", reason="dns")
        reply = await mail(receiver, ADA, "adas", message=letter("eve@elsewhere.example"))
        assert reply.startswith("451 4.4.3 ")
        assert metric("printpost_smtp_messages_rejected_total", reason="dns") == refused + 1


async def test_a_denied_author_is_refused_whoever_sends(house: Site, inside: Receiver, outside: Receiver) -> None:
    for receiver in (inside, outside):
        assert (await mail(receiver, ADA, "without-eve", message=letter("eve@example.net"))).startswith("550 5.7.1 ")
        two = letter().replace(b"To:", b"From: eve@example.net\r\nTo:", 1)
        assert (await mail(receiver, ADA, "without-eve", message=two)).startswith("550 5.7.1 ")
        await job(house, await mail(receiver, ADA, "without-eve"))


async def test_a_signature_alone_proves_whom_it_names_once(house: Site, outside: Receiver) -> None:
    message = signed(letter(BOB, "authored@example.com"), "example.org")
    found = await job(house, await mail(outside, "bounces@shop.example", "authored", message=message))
    assert told(found) == ("verified", Proof.DKIM, BOB, False)
    replayed = await mail(outside, "bounces@shop.example", "authored", message=message)
    assert replayed.startswith("550 5.7.1 ")
    unnamed = signed(letter(BOB, "carol@example.org"), "example.org")
    assert (await mail(outside, "x@shop.example", "authored", message=unnamed)).startswith("550 5.7.1 ")


async def test_what_came_by_spf_cannot_be_sent_again_by_its_signature(house: Site, outside: Receiver) -> None:
    message = signed(letter(ADA, "authored@example.com"))
    found = await job(house, await mail(outside, ADA, "authored", message=message))
    assert told(found)[1:3] == (Proof.SPF, ADA)
    assert (await mail(outside, "bounces@shop.example", "authored", message=message)).startswith("550 5.7.1 ")


async def test_a_signature_of_the_envelopes_own_address_lets_it_be_answered(house: Site, outside: Receiver) -> None:
    message = signed(letter(BOB), "example.org")
    assert told(await job(house, await mail(outside, BOB, "anyone", message=message))) == (
        "verified",
        Proof.DKIM,
        BOB,
        True,
    )


async def test_a_forged_author_is_refused_when_the_header_has_come(house: Site, outside: Receiver) -> None:
    reply = await mail(outside, ADA, "authored", message=letter("eve@example.net", body="x" * 900 + "\r\n"))
    assert reply.startswith("550 5.7.1 this sender may not print here")
    forged = signed(letter(BOB, "authored@example.com"), "example.net")  # signed by another domain
    assert (await mail(outside, "x@shop.example", "authored", message=forged)).startswith("550 5.7.1 ")
    two = letter(BOB, "authored@example.com").replace(b"To:", f"From: {ADA}\r\nTo:".encode(), 1)
    assert (await mail(outside, ADA, "authored", message=two)).startswith("550 5.7.1 ")


async def test_what_is_appended_behind_a_signed_length_proves_nothing(outside: Receiver) -> None:
    message = signed(letter(BOB), "example.org", length=True)
    for tail in (b"", b"and 999 pages more\r\n"):
        assert (await mail(outside, "x@shop.example", "anyone", message=message + tail)).startswith("550 5.7.1 ")


async def test_an_altered_body_proves_nothing(outside: Receiver) -> None:
    message = signed(letter(BOB), "example.org").replace(b"print me", b"print us")
    assert (await mail(outside, "x@shop.example", "anyone", message=message)).startswith("550 5.7.1 ")


async def test_forged_results_are_removed(house: Site, outside: Receiver) -> None:
    forged = b"Authentication-Results: mail.example.com; dkim=pass header.d=example.org\r\n"
    assert (await mail(outside, BOB, "anyone", message=forged + letter(BOB))).startswith("550 5.7.1 ")
    found = await job(house, await mail(outside, BOB, "careless", message=forged + letter(BOB)))
    assert told(found) == ("stranger", Proof.NONE, "", False)
    fields = await header_of(house, "careless")
    assert fields.count(b"Authentication-Results:") == 1
    assert b"spf=fail" in fields
    assert b"dkim=pass" not in fields


async def test_another_domains_record_proves_no_look_alike(outside: Receiver) -> None:
    """Ada is at example.net, whose SPF names this client; in fullwidth letters it is nobody's domain."""
    for sender in (ADA, "ada@\uff45xample.net", "ada@ex\u00e4mple.net"):
        async with wire(outside) as client:
            await client.reply()
            await client.ask("EHLO client.example.net")
            assert (await client.ask(f"MAIL FROM:<{sender}> SMTPUTF8")).startswith("250")
            assert (await client.ask("RCPT TO:<anyone@example.com>")).startswith("250 2.1.5")
            await client.ask("DATA")
            await client.send(letter(sender) + b".\r\n")
            taken = (await client.reply()).startswith("250")
        assert taken is (sender == ADA), sender


async def test_what_its_domain_wants_refused_is(outside: Receiver, house: Site) -> None:
    message = letter("boss@strict.example")
    assert await mail(outside, ADA, "anyone", message=message) == (
        "550 5.7.1 the domain in From wants this refused (DMARC): nothing proves that the message is its own"
    )
    await job(house, await mail(outside, ADA, "by-ip", message=message))
    await job(house, await mail(outside, ADA, "careless", message=message))
    desk = Desk(outside.site.settings, house.store, house.directory, house.people, outside.site.mailauth)
    asked = Supposed(sender=ADA, ip="127.0.0.1", author="boss@strict.example")
    for printer, allowed in (("anyone", False), ("by-ip", True), ("careless", True)):
        answer = await desk.try_sender(COMMAND_LINE, printer, asked)
        assert answer.allowed is allowed, answer.sentence
        assert ("(DMARC), which is seen when the whole message has come" in answer.sentence) is not allowed
    answer = await desk.try_sender(COMMAND_LINE, "anyone", replace(asked, signed=True))
    assert answer.allowed, answer.sentence


async def test_unverified_ok_takes_what_is_proved_for_more(house: Site, outside: Receiver) -> None:
    message = signed(letter(BOB, "careless@example.com"), "example.org")
    found = await job(house, await mail(outside, "x@shop.example", "careless", message=message))
    assert (found.trust, found.proof) == ("verified", Proof.DKIM)


async def test_a_printer_that_polls_gets_nothing_that_may_not_go_raw(house: Site, outside: Receiver) -> None:
    assert (await mail(outside, ADA, "polls")).startswith("550 5.7.1 ")
    found = await job(house, await mail(outside, BOB, "polls-all", message=letter(BOB)))
    assert (found.trust, found.reasons) == ("stranger", ("job-fetchable",))


async def test_insiders_and_logins(house: Site, inside: Receiver, outside: Receiver) -> None:
    assert told(await job(house, await mail(inside, ADA, "adas"))) == ("insider", Proof.NETWORK, ADA, False)
    assert b"(client 127.0.0.1 is in the networks of this site)" in await header_of(house, "adas")
    async with submission(house, outside) as client:
        found = await job(house, await say(client, "ada@example.com", "anyone", message=letter("ada@example.com")))
        assert told(found) == ("insider", Proof.LOGIN, "ada@example.com", True)
        assert b"auth=pass smtp.auth=ada" in await header_of(house, "anyone")
        assert (await say(client, "ada@example.com", "adas", message=letter())).startswith("550 5.7.1 ")


async def test_groups_of_people(house: Site, inside: Receiver) -> None:
    carol = Person(name="carol", addresses=("carol@example.com",), groups=("staff",))
    await house.people.add(carol, "quite secret")
    await job(house, await mail(inside, "carol@example.com", "staffs"))
    assert (await mail(inside, ROOT.addresses[0], "staffs")).startswith("550 5.7.1 ")


async def test_behind_a_mail_server_spf_says_nothing(house: Site, dns: DnsServer) -> None:
    async with house.receiver(networks=OUTSIDE, dns=(dns.address,), behind="mta") as receiver:
        assert (await mail(receiver, ADA, "anyone", message=letter())).startswith("550 5.7.1 ")
        message = signed(letter(ADA, Date="behind"))
        assert (await mail(receiver, ADA, "anyone", message=message)).startswith("250 ")


# -- open verdicts


async def test_an_open_verdict_goes_alone(outside: Receiver) -> None:
    alone = "452 4.5.3 what the message says decides here, so it goes to this printer alone; send the rest again"
    assert await mail(outside, ADA, "authored", "adas") == alone
    assert await mail(outside, ADA, "adas", "authored") == alone
    assert await mail(outside, ADA, "authored", "authored+duplex") == alone
    assert (await mail(outside, ADA, "authored", "authored", message=letter())).startswith("250 ")


async def test_recipients_of_another_trust_go_apart(outside: Receiver) -> None:
    assert (await mail(outside, BOB, "careless", "by-ip", message=letter(BOB))).startswith("250 ")
    assert await mail(outside, ADA, "by-ip", "adas") == (
        "452 4.5.3 this recipient is judged in another way than those before, send it again by itself"
    )


async def test_a_refusal_at_the_header_stores_nothing(house: Site, outside: Receiver) -> None:
    """The rest is swallowed: a second mail on the connection is another one."""
    before = (await house.store.jobs(limit=1))[0].id
    async with wire(outside) as client:
        await client.reply()
        await client.ask("EHLO client.example.net")
        endless = letter("eve@example.net", body="x" * 70 + "\r\n" + "showpage\r\n" * 100_000)
        assert (await say(client, ADA, "authored", message=endless)).startswith("550 5.7.1 ")
        after = await say(client, ADA, "authored", message=letter())
        assert number(after) == before + 1


# -- groups and options


async def test_a_group_prints_on_each_member_by_its_own_rules(house: Site, outside: Receiver) -> None:
    reply = await mail(outside, ADA, "both+copies=2")
    found = re.fullmatch(r"250 2\.0\.0 accepted as jobs (\d+), (\d+)", reply)
    assert found, reply
    jobs = [await house.store.job(int(one)) for one in found.groups()]
    assert [(one.printer, one.recipient) for one in jobs if one] == [
        ("east", "both+copies=2@example.com"),
        ("west", "both+copies=2@example.com"),
    ]
    assert jobs[0] is not None
    assert jobs[1] is not None
    assert jobs[0].message_id == jobs[1].message_id
    assert (await mail(outside, ADA, "east")).startswith("550 5.7.1 ")


async def test_a_printer_that_is_reached_twice_prints_once(outside: Receiver) -> None:
    reply = await mail(outside, ADA, "both", "all")
    assert re.fullmatch(r"250 2\.0\.0 accepted as jobs \d+, \d+", reply)
    assert await mail(outside, ADA, "both", "all+duplex") == (
        "550 5.1.4 the message goes to this printer already, with other options; a mail prints on a printer once"
    )
    assert (await mail(outside, ADA, "adas", "all+duplex")).startswith("250 2.0.0 accepted as jobs ")


async def test_a_member_that_takes_nothing_refuses_for_all(house: Site, outside: Receiver) -> None:
    await house.store.set_accepting("west", False)
    try:
        assert await mail(outside, ADA, "both") == "450 4.2.1 the printer takes no jobs now"
    finally:
        await house.store.set_accepting("west", True)


async def test_a_group_of_printers_that_are_gone(house: Site, inside: Receiver) -> None:
    await house.directory.add(printer("gone", "*"), None)
    await house.directory.add(printer("ghosts", "*", uri="", members=("gone", "east")), None)
    await house.directory.remove("gone")
    house.directory.forget()
    await job(house, await mail(inside, ADA, "ghosts"))
    ghosts = await house.directory.printer("ghosts")
    assert ghosts is not None
    await house.directory.add(printer("gone", "*"), None)
    await house.directory.replace(replace(ghosts, members=("gone",)))
    await house.directory.remove("gone")
    house.directory.forget()
    assert await mail(inside, ADA, "ghosts") == "550 5.1.1 this group has no printer now"


async def test_options(inside: Receiver) -> None:
    assert (await mail(inside, ADA, "anyone+copies=2+tumble")).startswith("250 ")
    assert (await mail(inside, ADA, "anyone+stapled")).startswith("550 5.1.3 'stapled' is no word of a job ticket")
    assert (await mail(inside, ADA, "anyone+copies=2+copies=3")).startswith("550 5.1.3 the ticket says copies twice")


# -- tokens

NO_TOKEN = "550 5.7.1 this address does not let anybody print (any more)"


async def test_a_token_lets_its_holder_print_and_is_written_nowhere(house: Site, outside: Receiver) -> None:
    made = await house.store.add_capability("nobodys", token_digest(TOKEN), made_by="root")
    async with wire(outside) as client:
        await client.reply()
        await client.ask("EHLO client.example.net")
        await client.ask(f"MAIL FROM:<{BOB}>")
        rcpt = f"RCPT TO:<nobodys+{TOKEN.upper()}+duplex@example.com> ORCPT=rfc822;nobodys+2B{TOKEN}@example.com"
        assert await client.ask(rcpt) == "250 2.1.5 recipient ok"
        await client.ask("DATA")
        await client.send(letter(BOB) + b".\r\n")
        found = await job(house, await client.reply())
    assert (found.trust, found.proof, found.capability) == ("verified", Proof.TOKEN, made.id)
    assert found.recipient == "nobodys+duplex@example.com"
    assert found.answerable is False
    assert TOKEN not in repr(found).lower()
    stored = b"".join([block async for block in house.store.read(found.id)]) + await header_of(house, "nobodys")
    assert TOKEN.encode() not in stored.lower()
    assert await house.store.revoke_capability(made.id, "root")
    assert await mail(outside, BOB, f"nobodys+{TOKEN}") == NO_TOKEN


async def test_unknown_used_up_and_others_tokens_are_refused_alike(house: Site, outside: Receiver) -> None:
    once = "b" * 26
    await house.store.add_capability("nobodys", token_digest(once), made_by="root", max_jobs=1)
    await house.store.add_capability("nobodys", token_digest("c" * 26), made_by="root", expires_at=1.0)
    await job(house, await mail(outside, BOB, f"nobodys+{once}", message=letter(BOB)))
    good = "e" * 26
    await house.store.add_capability("nobodys", token_digest(good), made_by="root")
    for token, name in ((once, "nobodys"), ("c" * 26, "nobodys"), ("d" * 26, "nobodys"), (good, "anyone")):
        assert await mail(outside, BOB, f"{name}+{token}") == NO_TOKEN


async def test_guessing_tokens_is_as_slow_as_guessing_passwords(house: Site, dns: DnsServer) -> None:
    async with house.receiver(networks=OUTSIDE, dns=(dns.address,)) as receiver:
        guesses = receiver.site.guesses
        async with wire(receiver) as client:
            await client.reply()
            await client.ask("EHLO client.example.net")
            await client.ask(f"MAIL FROM:<{ADA}>")
            for letter_ in "abcdefghij":
                answer = await client.ask(f"RCPT TO:<anyone+{letter_ * 26}@example.com>")
                assert answer == NO_TOKEN
            with pytest.raises(Exception, match="too many wrong passwords"):
                async with guesses.trying("127.0.0.1", "somebody", patient=False):
                    pass


# -- loops


@pytest.mark.parametrize("name", ["careless", "by-ip", "anyone"])
async def test_mail_that_names_no_sender_is_not_printed(inside: Receiver, outside: Receiver, name: str) -> None:
    for receiver in (inside, outside):
        assert await mail(receiver, "", name) == "550 5.7.1 mail with the null reverse-path is not printed"


REPORT = 'multipart/report; report-type=delivery-status; boundary="b"'


@pytest.mark.parametrize(
    ("fields", "reply"),
    [
        (
            {"Auto-Submitted": "auto-replied"},
            "550 5.7.1 automatic replies are not printed (Auto-Submitted: auto-replied)",
        ),
        ({"auto-submitted": "(no) Auto-Replied; x=y"}, "550 5.7.1 automatic replies are not printed"),
        ({"Content-Type": REPORT}, "550 5.7.1 delivery reports are not printed (multipart/report)"),
        ({"Content-Type": f"(a) {REPORT}"}, "550 5.7.1 delivery reports are not printed"),
        (
            {"Delivered-To": "Anyone+x@Example.com"},
            "554 5.4.6 the message was delivered to this printer before: a mail loop",
        ),
        ({"Delivered-To": "other@example.com"}, "250 "),
        ({"Auto-Submitted": "auto-generated"}, "250 "),
        ({"Auto-Submitted": "no"}, "250 "),
    ],
)
async def test_loops(inside: Receiver, fields: dict[str, str], reply: str) -> None:
    assert (await mail(inside, ADA, "anyone", message=letter(**fields))).startswith(reply)


async def test_a_printer_does_not_print_for_itself(inside: Receiver) -> None:
    loop = "550 5.4.6 a printer does not print for itself: a mail loop"
    assert await mail(inside, "Anyone+duplex@example.com", "anyone") == loop
    assert await mail(inside, "east@example.com", "both") == loop
    assert await mail(inside, "all@example.com", "all") == loop


async def test_people_get_automatic_mail_as_before(house: Site, outside: Receiver) -> None:
    async with submission(house, outside) as client:
        message = letter("ada@example.com", Auto_Submitted="auto-replied", Delivered_To="ada@example.com")
        assert await say(client, "ada@example.com", "ada", message=message) == "250 2.0.0 accepted"
    assert await mail(outside, "", "postmaster", message=letter(BOB, Content_Type=REPORT)) == "250 2.0.0 accepted"


async def test_who_is_answered(house: Site, outside: Receiver) -> None:
    automatic = letter(Auto_Submitted="auto-generated")
    assert (await job(house, await mail(outside, ADA, "anyone", message=automatic))).answerable is False
    assert (await job(house, await mail(outside, ADA, "by-ip"))).answerable is True
    assert (await job(house, await mail(outside, BOB, "by-ip", message=letter(BOB)))).answerable is False


# -- duplicates


async def test_the_same_mail_prints_once_and_the_reply_names_the_job(house: Site, outside: Receiver) -> None:
    message, before = letter(Message_ID="<1@example.net>"), metric("printpost_jobs_duplicate_total")
    first = number(await mail(outside, ADA, "anyone", message=message))
    again = await mail(outside, ADA, "anyone", message=b"X-Tried: again\r\n" + message)
    assert again == f"250 2.0.0 accepted before as job {first}"
    assert metric("printpost_jobs_duplicate_total") == before + 1
    both = await mail(outside, ADA, "anyone", "adas", message=message)
    assert re.fullmatch(rf"250 2\.0\.0 accepted as job \d+ and before as job {first}", both)
    number(await mail(outside, ADA, "anyone", message=letter(Message_ID="<1@example.net>", body="other\r\n")))
    number(await mail(outside, ADA, "anyone", message=letter()))
    number(await mail(outside, ADA, "anyone", message=letter()))


# -- limits


async def test_limits_of_a_printer(outside: Receiver) -> None:
    no_more = "450 4.7.1 the printer takes no more {} from everybody together within this hour, try again later"
    too_large = "552 5.3.4 larger than all that the printer takes from everybody together in an hour"
    number(await mail(outside, ADA, "few"))
    assert await mail(outside, ADA, "few") == no_more.format("jobs")
    async with wire(outside) as client:
        await client.reply()
        await client.ask("EHLO client.example.net")
        await client.ask(f"MAIL FROM:<{ADA}> SIZE=4000")
        assert await client.ask("RCPT TO:<light@example.com>") == too_large
        await client.ask("RSET")
        number(await say(client, ADA, "light", message=letter(body="x\r\n" * 700)))
        await client.ask(f"MAIL FROM:<{ADA}> SIZE=2000")
        assert await client.ask("RCPT TO:<light@example.com>") == no_more.format("octets")
        await client.ask("RSET")
        assert await say(client, ADA, "light", message=letter(body="x\r\n" * 700)) == no_more.format("octets")
        assert await say(client, ADA, "light", message=letter(body="x\r\n" * 2000)) == too_large


async def test_limits_of_a_group_are_its_own(house: Site, outside: Receiver) -> None:
    no_more = "450 4.7.1 the printer takes no more jobs from everybody together within this hour, try again later"
    number(await mail(outside, ADA, "few-here"))  # what goes to a member alone uses up nothing of the group's
    assert re.fullmatch(r"250 2\.0\.0 accepted as jobs \d+, \d+", await mail(outside, ADA, "seldom"))
    assert await house.store.usage("seldom") == await house.store.usage("seldom", ADA)
    assert (await house.store.usage("seldom")).jobs == 1  # on two printers
    assert (await house.store.usage("few-here")).jobs == 2
    assert (await house.store.usage("anyone")).jobs == 0  # which has no limits
    assert await mail(outside, ADA, "seldom") == no_more
    number(await mail(outside, ADA, "anyone"))
    assert await mail(outside, ADA, "few-here") == no_more


async def test_an_unproved_sender_uses_up_nobodys_limit(outside: Receiver) -> None:
    for count in range(3):
        number(await mail(outside, BOB, "fair", message=letter(BOB, body=f"{count}\r\n")))
    number(await mail(outside, ADA, "fair"))
    assert await mail(outside, ADA, "fair") == (
        "450 4.7.1 the printer takes no more jobs from one sender within this hour, try again later"
    )


# -- documents that cannot get to the printer

PCL = b"\x1bE\x1b&l0Ohello\x0c\x1bE"
NOT_RAW = "a document of the format {} would have to reach the printer as it came, and from this sender it may not; "
NO_WAY = "a document of the format {} cannot be made into anything that this printer understands; "


@pytest.mark.parametrize(
    ("sender", "name", "documents", "reply"),
    [
        (ADA, "laser", [PCL], ""),  # which is looked through
        (ADA, "sealed", [PCL], f"554 5.6.1 {NOT_RAW}send it as PDF"),
        (BOB, "laser", [PCL], f"554 5.6.1 {NOT_RAW}send it as PDF"),
        (BOB, "laser", [postscript(1), PCL], f"554 5.6.1 document 2 of 2: {NOT_RAW}send it as PDF"),
        (ADA, "anyone", [PCL], f"554 5.6.1 {NO_WAY}send it as PDF"),
        (BOB, "matrix", [PCL], f"554 5.6.1 {NO_WAY}send it as text/plain"),
        (BOB, "two-kinds", [PCL], f"554 5.6.1 {NOT_RAW}send it as PDF"),
        (ADA, "trusting", [PCL, postscript(1)], ""),
        (BOB, "laser", [postscript(1)], ""),
        (ADA, "polls-all", [PCL], ""),
    ],
)
async def test_what_cannot_get_to_the_printer_is_refused_at_the_end_of_the_data(
    outside: Receiver, sender: str, name: str, documents: list[bytes], reply: str
) -> None:
    before = metric("printpost_smtp_messages_rejected_total", reason="not-printable")
    said = await mail(outside, sender, name, message=mail_of(*documents))
    after = metric("printpost_smtp_messages_rejected_total", reason="not-printable")
    if reply:
        assert said == reply.format("application/vnd.hp-pcl")
        assert after == before + 1
    else:
        number(said)
        assert after == before


async def test_insiders_pass_what_the_printer_speaks(inside: Receiver) -> None:
    number(await mail(inside, ADA, "laser", message=mail_of(PCL)))
    number(await mail(inside, ADA, "matrix"))
    assert await mail(inside, ADA, "matrix", message=mail_of(PCL)) == (
        f"554 5.6.1 {NO_WAY.format('application/vnd.hp-pcl')}send it as text/plain"
    )
    assert await mail(inside, ADA, "laser", "anyone", message=mail_of(PCL)) == (
        f"554 5.6.1 {NO_WAY.format('application/vnd.hp-pcl')}send it as PDF (at anyone@example.com)"
    )


# -- split mail

PARTIAL = 'message/partial; id="split@example.net"; number={}; total=2'


async def test_parts_are_taken_from_proved_senders(house: Site, outside: Receiver) -> None:
    part = letter(Content_Type=PARTIAL.format(1), body="Content-Type: text/plain\r\n\r\nhalf\r\n")
    reply = await mail(outside, ADA, "anyone", message=part)
    promise = "250 2.0.0 accepted as part 1 of 2 of job "
    assert reply.startswith(promise)
    waiting = await house.store.job(int(reply.removeprefix(promise)))
    assert waiting is not None
    assert "job-incoming" in waiting.reasons


async def test_parts_that_are_refused(outside: Receiver, inside: Receiver) -> None:
    part = letter(BOB, Content_Type=PARTIAL.format(1))
    assert await mail(outside, BOB, "careless", message=part) == (
        "550 5.7.1 parts of a split mail (message/partial) are taken from proved senders only; send it whole"
    )
    assert await mail(inside, ADA, "adas", "anyone", message=part) == (
        "550 5.6.1 a part of a split mail (message/partial) goes to one printer only; send it to each by itself"
    )
    bad = letter(Content_Type="message/partial; number=1")
    assert (await mail(inside, ADA, "anyone", message=bad)).startswith("554 5.6.0 the message says that it is a part")


async def test_people_get_parts_as_they_are(house: Site, outside: Receiver) -> None:
    async with submission(house, outside) as client:
        message = letter("ada@example.com", Content_Type="message/partial")
        assert await say(client, "ada@example.com", "root", message=message) == "250 2.0.0 accepted"
