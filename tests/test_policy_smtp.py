"""The table of `tests.policy_table`, acted out: real SMTP, a real name server, real signatures, store and directory.

And beside what SMTP says what the desk says of the same mail beforehand (`printer why`, the page, the API).  Each row
has a printer and domains of its own: example.org is rN.example.org in row N, so that all rows have one zone.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from appliance.desk import COMMAND_LINE, Desk
from appliance.policy import Moment
from appliance.proof.result import Result
from appliance.smtp.limits import Limits
from appliance.smtp.receiver import Receiver
from appliance.supposing import Supposed
from mailstore.directory.records import Person, Raw
from mailstore.options import token_digest
from tests.dns_server import dns_server, misbehaving
from tests.policy_table import ADA, EVE, GROUPS, MALLORY, PRINTER, ROWS, Row, Where
from tests.signing import ed25519_signer, mail
from tests.smtp_client import Site, Wire, plain, site

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

CLIENTS: Mapping[str, str] = {"inside": "127.0.0.1", "outside": "127.0.0.2", "library": "127.0.0.3"}
SPF = {
    Result.PASS: "v=spf1 ip4:127.0.0.0/8 -all",
    Result.FAIL: "v=spf1 -all",
    Result.SOFTFAIL: "v=spf1 ~all",
    Result.NEUTRAL: "v=spf1 ?all",
    Result.PERMERROR: "v=spf1 nonsense",
}
LOGINS = {ADA: "teacher", EVE: "pupil", MALLORY: "visitor"}
PASSWORD = "correct horse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A row with names of its own."""

    number: int
    row: Row

    @property
    def name(self) -> str:
        return f"row{self.number}"

    @property
    def token(self) -> str:
        """Twenty-six letters, as tokens are."""
        return "".join("abcdefghij"[int(digit)] for digit in f"{self.number:026d}")

    @property
    def recipient(self) -> str:
        return f"{self.name}+{self.token}@example.com" if self.row.token else f"{self.name}@example.com"

    def own(self, text: str) -> str:
        """The same text about this row's domains."""
        return re.sub(r"example\.(org|net)", rf"r{self.number}.example.\1", text, flags=re.IGNORECASE)

    def records(self) -> dict[str, dict[str, list[str]]]:
        found: dict[str, dict[str, list[str]]] = {}
        domain = self.own(self.row.sender.rpartition("@")[2])
        if self.row.spf in SPF:
            found[domain] = {"TXT": [SPF[self.row.spf]]}
        if self.row.signature:
            signer = ed25519_signer()
            found[f"{signer.selector}._domainkey.{self.own(self.row.signature.domain)}"] = {"TXT": [signer.record]}
        return found

    def failing(self) -> set[str]:
        """Names about which the name server says nothing."""
        failing = {self.own(self.row.sender.rpartition("@")[2])} if self.row.spf is Result.TEMPERROR else set()
        if self.row.signature and self.row.signature.result is Result.TEMPERROR:
            failing.add(f"{ed25519_signer().selector}._domainkey.{self.own(self.row.signature.domain)}")
        return failing

    def supposed(self) -> Supposed | None:
        """The same mail for who asks beforehand; None where he cannot say it."""
        row, signed = self.row, self.row.signature
        if signed and signed.result is Result.TEMPERROR:
            return None  # a signature is supposed to prove or not to: of its key the DNS is not asked
        author = row.author
        proves = signed is not None and signed.result is Result.PASS and signed.to == PRINTER
        return Supposed(
            sender=self.own(row.sender),
            ip=CLIENTS["outside" if row.where is Where.LOGIN else row.where],
            login=row.where is Where.LOGIN,
            author=None if row.authors is None else self.own(author),
            signed=proves and signed is not None and signed.domain == author.rpartition("@")[2],
            given_away=row.token,
        )

    def message(self) -> bytes:
        row = self.row
        authors = (row.sender,) if row.authors is None else row.authors
        signed = row.signature
        to = f"{self.name}@example.com" if not signed or signed.to == PRINTER else signed.to
        written = mail(author=self.own(", ".join(authors)), to=to).replace(b"<1@", b"<%d@" % self.number)
        if not authors:
            written = re.sub(rb"From:.*\r\n", b"", written)
        if signed:
            written = replace(ed25519_signer(), domain=self.own(signed.domain)).sign(written)
            written = written.replace(b"Hello", b"Goodbye") if signed.result is Result.FAIL else written
        return written


# A printer that polls and takes nothing raw is one that no directory keeps.
SCENES = [Scene(number=number, row=row) for number, row in enumerate(ROWS) if not (row.polls and row.raw is Raw.NOBODY)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Receivers by what stands in front of them."""

    house: Site
    receivers: Mapping[str, Receiver]

    def desk(self, row: Row) -> Desk:
        site = self.receivers[row.behind].site
        return Desk(site.settings, site.store, site.directory, site.people, site.mailauth)

    async def client(self, stack: AsyncExitStack, row: Row) -> Wire:
        login = row.where is Where.LOGIN
        tls: ssl.SSLContext | None = self.house.trusting if login else None
        address = self.receivers[row.behind].addresses["submissions" if login else "smtp"]
        local = (CLIENTS["outside" if login else row.where], 0)
        name = "localhost" if tls else None
        reader, writer = await asyncio.open_connection(*address, ssl=tls, server_hostname=name, local_addr=local)
        stack.callback(writer.close)
        client = Wire(reader, writer)
        assert (await client.reply()).startswith("220")
        await client.ask("EHLO mail.example.net")
        if login:
            answer = await client.ask(f"AUTH PLAIN {plain(LOGINS[row.sender], PASSWORD)}")
            assert answer.startswith("235"), answer
        return client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    zone = {name: records for scene in SCENES for name, records in scene.records().items()}
    async with AsyncExitStack() as stack:
        server = stack.enter_context(dns_server(zone))
        dns = await stack.enter_async_context(misbehaving(behind=server))
        dns.failing.update(name for scene in SCENES for name in scene.failing())
        house = await stack.enter_async_context(site(tmp_path_factory.mktemp("stage")))
        await _cast(house)
        limits = Limits(messages_per_minute=0, messages=100_000)
        receivers = {
            behind: await stack.enter_async_context(
                house.receiver(
                    limits=limits,
                    networks=("127.0.0.1/32",),
                    dns=(dns.address,),
                    behind=behind,
                )
            )
            for behind in ("", "mta", "nat")
        }
        yield Stage(house=house, receivers=receivers)


async def _cast(house: Site) -> None:
    """The people and printers of all rows."""
    for address, name in LOGINS.items():
        known = tuple(dict.fromkeys(scene.own(address) for scene in SCENES))
        groups = tuple(sorted(GROUPS.get(address, ())))
        await house.people.add(Person(name=name, addresses=known, groups=groups), PASSWORD)
    for scene in SCENES:
        entry = scene.row.printer(CLIENTS)
        for member in scene.row.group():
            own = f"{scene.name}-{member.name}"
            await house.directory.add(replace(member, name=own, addresses=(f"{own}@example.com",)), None)
        made = replace(
            entry,
            name=scene.name,
            addresses=(f"{scene.name}@example.com",),
            allow=tuple(map(scene.own, entry.allow)),
            deny=tuple(map(scene.own, entry.deny)),
            members=tuple(f"{scene.name}-{member}" for member in entry.members),
        )
        await house.directory.add(made, None)
        if scene.row.token:
            await house.store.add_capability(scene.name, token_digest(scene.token), made_by="root")


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.row.name)
async def test_a_row_through_smtp(stage: Stage, scene: Scene) -> None:
    wanted = scene.row.expected
    moment, answer = await _sent(stage, scene)
    at_once = wanted.moment is Moment.RCPT and not wanted.allowed
    assert answer.startswith(f"{wanted.reply} "), answer
    assert (moment is Moment.RCPT) is at_once
    job = None
    if wanted.allowed:
        number = re.search(r"job (\d+)|jobs (\d+)", answer)
        assert number is not None, answer
        job = await stage.house.store.job(int(number[1] or number[2]))
        assert job is not None
        assert (job.trust, job.proof) == (wanted.trust, wanted.proof)
    if (supposed := scene.supposed()) is None:
        return
    told = await stage.desk(scene.row).try_sender(COMMAND_LINE, scene.name, supposed)
    assert told.allowed is answer.startswith("250"), told.sentence
    assert told.uncertain is answer.startswith("451"), told.sentence
    assert told.verdict.moment is wanted.moment, told.sentence
    assert _moments_in(told.sentence) == ({wanted.moment} - {Moment.RCPT})
    if job is not None:
        assert (told.verdict.trust, told.verdict.proof, told.verdict.proved) == (job.trust, job.proof, job.proved)
    else:
        assert answer.split()[1] == told.verdict.status


async def _sent(stage: Stage, scene: Scene) -> tuple[Moment, str]:
    """The reply that decided, and whether that was the one to RCPT or the one to the data."""
    async with AsyncExitStack() as stack:
        client = await stage.client(stack, scene.row)
        answer = await client.ask(f"MAIL FROM:<{scene.own(scene.row.sender)}>")
        assert answer.startswith("250"), answer
        answer = await client.ask(f"RCPT TO:<{scene.recipient}>")
        if not answer.startswith("250 2.1.5"):
            return Moment.RCPT, answer
        assert (await client.ask("DATA")).startswith("354")
        await client.send(scene.message() + b".\r\n")
        return Moment.DATA, await client.reply()


def _moments_in(sentence: str) -> set[Moment]:
    words = {Moment.HEADER: "seen when the header has come", Moment.DATA: "seen when the whole message has come"}
    return {moment for moment, told in words.items() if told in sentence}


async def test_what_cannot_be_asked_beforehand() -> None:
    """Only what nobody can know beforehand: whether the DNS will answer for the key of a signature."""
    left_out = [scene.row for scene in SCENES if scene.supposed() is None]
    assert len(left_out) == 5
    assert all(row.signature and row.signature.result is Result.TEMPERROR for row in left_out)
