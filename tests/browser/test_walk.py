"""The walk: what PhaserLink's page set, and what mail, POP3 and paper then do."""

from __future__ import annotations

import asyncio
import email.policy
import poplib
import re
from email.message import EmailMessage
from pathlib import Path

import pytest
from playwright.async_api import Page, Route

from mailstore.job import JobState
from tests.browser.conftest import Make
from tests.browser.visits import LOOK, OUTSIDE, Site, chip, enter, live, told
from tests.documents import difference, pages_of, pdf
from tests.house import ADA, PATIENCE, SECRET, mail_of
from tests.test_bridge import virtual_printer

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.slow]

PAGE = b"%!PS-Adobe-3.0\n72 72 100 100 rectfill showpage\n"
LARGE = PAGE + b"%" * 400_000


# -- who is there


async def test_the_password_that_the_first_start_said_lets_the_administrator_in(site: Site) -> None:
    async with site.visit(path="/jobs") as page:
        await page.get_by_role("heading", name="Log in").wait_for()
        await page.get_by_label("User name").fill(site.administrator.name)
        await page.get_by_label("Password").fill("wrong")
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_role("alert").get_by_text("That is not the password of such a user.").wait_for()
        assert await page.get_by_label("User name").input_value() == site.administrator.name
        await enter(page, site.administrator)
        assert page.url == f"{site.origin}/jobs"  # where he wanted to go
        await page.get_by_role("button", name="Log out").click()
        await page.get_by_role("heading", name="Log in").wait_for()
        await page.goto("/people")
        await page.get_by_role("heading", name="Log in").wait_for()


# -- who may send


async def test_an_allowed_senders_mail_is_printed_and_anothers_is_refused(site: Site, tmp_path: Path) -> None:
    async with virtual_printer(tmp_path / "paper") as (printer, uri), site.visit(site.administrator) as page:
        await page.goto("/printers/new")
        await page.get_by_label("Name", exact=True).fill("first")
        await page.get_by_label("Device address").fill(uri)
        await page.get_by_role("button", name="Add it").click()
        await told(page, "mail to first@example.com is printed")
        await page.get_by_text("Nobody yet: there is no rule that lets anybody print.").wait_for()
        assert (await site.asks("first", ADA)).startswith("550 5.7.1 ")
        await page.get_by_role("link", name="Settings").click()
        await page.get_by_label("May print").fill(ADA)
        await page.get_by_role("button", name="Save").click()
        await told(page, "Saved.")
        source = tmp_path / "source.pdf"
        source.write_bytes(pdf(1))
        number = await site.house.mail("first", source.read_bytes())
        await chip(page, f"#job-{number}", "printed")
        printed = await printer.job(1)
        assert printed.pages == 1
        assert (await site.asks("first", "eve@example.com")).startswith("550 5.7.1 ")
    (expected,), (paper,) = pages_of(source), pages_of(tmp_path / "paper" / "job-0001.pdf")
    assert difference(expected, paper) < 0.2


RULES = {
    "allow": (ADA, "@example.org", "ip:127.0.0.3/32"),
    "deny": ("mallory@example.org",),
}
MEMBERS = {"allow": ("authenticated",)}
ANYBODY = {"allow": ("*",)}
CASES = {
    "its own rule": ("rules", "site", ADA, True),
    "no rule": ("rules", "site", "bob@example.com", False),
    "the domain's rule": ("rules", "site", "grace@example.org", True),
    "a deny rule": ("rules", "site", "mallory@example.org", False),
    "no sender": ("rules", "site", "", False),
    "an address that is let in": ("rules", "127.0.0.3", "stranger@example.net", True),
    "no sender from there": ("rules", "127.0.0.3", "", False),
    "a deny rule there": ("rules", "127.0.0.3", "mallory@example.org", False),
    "with a login": ("rules", "login", ADA, True),
    "with a login of no rule": ("rules", "login", "bob@example.com", False),
    "members want a login": ("members", "site", ADA, False),
    "members have one": ("members", "login", "bob@example.com", True),
    "anybody inside": ("anybody", "site", "eve@example.net", True),
    "nobody is not anybody": ("anybody", "site", "", False),
}


async def tried(page: Page, printer: str, where: str, sender: str) -> bool:
    """The page's verdict."""
    await page.goto(f"/printers/{printer}")
    await page.get_by_label("Sender").fill(sender)
    comes = where if where in ("site", "login") else "ip"
    await page.get_by_label("It comes from").select_option(comes)
    if comes == "ip":
        await page.get_by_label("IP address").fill(where)
    await page.get_by_role("button", name="Try").click()
    verdict = await page.locator("#verdict .chip").inner_text()
    found = re.fullmatch(r"\W*(may print|may not print)\W*", verdict)
    assert found, verdict
    return found[1] == "may print"


async def test_the_page_and_smtp_judge_alike(site: Site) -> None:
    """What is decided at RCPT; what wants a DNS and a whole mail is compared in tests/test_policy_smtp.py."""
    people = {address: await site.person(address.partition("@")[0]) for address in (ADA, "bob@example.com")}
    for name, rules in (("rules", RULES), ("members", MEMBERS), ("anybody", ANYBODY)):
        await site.house.add(name, "socket://192.0.2.7:9100", **rules)
    found = {}
    async with site.visit(site.administrator) as page:
        for case, (printer, where, sender, _) in CASES.items():
            verdict = await tried(page, printer, where, sender)
            if where == "login":
                reply = await site.asks(printer, sender, ip=OUTSIDE, login=people[sender])
            else:
                reply = await site.asks(printer, sender, ip="127.0.0.1" if where == "site" else where)
            assert reply.startswith(("250 2.1.5 ", "550 5.7.1 ")), (case, reply)
            assert verdict is reply.startswith("250"), (case, verdict, reply)
            found[case] = verdict
    assert found == {case: expected for case, (*_, expected) in CASES.items()}


# -- how often it polls


class Poller:
    """A printer that polls."""

    def __init__(self, site: Site, name: str) -> None:
        self._where = site.house.pop3
        self._name = name

    async def polls(self) -> str:
        """One poll in order; the LOGIN-DELAY that it is told, or the server's refusal."""
        return await asyncio.to_thread(self._poll)

    def _poll(self) -> str:
        client = poplib.POP3(*self._where, timeout=PATIENCE)
        try:
            client.user(self._name)
            client.pass_(SECRET)
            delay = client.capa()["LOGIN-DELAY"]
            client.quit()
        except poplib.error_proto as refused:
            client.close()
            return refused.args[0].decode()  # type: ignore[no-any-return]
        return " ".join(delay)

    async def let_in(self) -> str:
        """The same, as soon as it is not too early."""
        async with asyncio.timeout(PATIENCE):
            while True:
                said = await self.polls()
                if "[LOGIN-DELAY]" not in said:
                    return said
                await asyncio.sleep(LOOK)


async def set_interval(page: Page, printer: str, seconds: int) -> None:
    await page.goto(f"/printers/{printer}/settings")
    await page.get_by_label("Every", exact=True).fill(str(seconds))
    await page.get_by_role("button", name="Save").click()
    await told(page, "Saved.")


async def test_a_poll_interval_counts_at_once(site: Site) -> None:
    await site.house.add("polls", poll_interval=2)
    poller = Poller(site, "polls")
    before = site.house.latest["up"].children()
    async with site.visit(site.administrator, "/printers/polls") as page:
        await page.get_by_text("It should poll every 2 seconds. It has not polled yet.").wait_for()
        for _ in range(3):
            assert await poller.let_in() == "2"
        await page.reload()
        await page.get_by_text(re.compile(r"Of late it polls every [12] seconds?\.")).wait_for()
        await set_interval(page, "polls", 600)
        assert "-ERR [LOGIN-DELAY] the poll interval is 600 seconds, wait 4" in await poller.polls()
        await page.get_by_text("It should poll every 10 minutes.").wait_for()
        await set_interval(page, "polls", 1)
        assert await poller.let_in() == "1"
        assert site.house.latest["up"].children() == before  # nothing was started anew
        await site.house.add("does-not-poll", "socket://192.0.2.7:9100")
        await page.goto("/printers/does-not-poll/settings")
        await page.get_by_label("May print").wait_for()
        assert await page.get_by_label("Every", exact=True).count() == 0
        await page.goto("/printers/does-not-poll")
        assert await page.get_by_text("Polls", exact=True).count() == 0


# -- who hears of trouble


async def test_whoever_is_responsible_hears_of_an_empty_tray_and_of_its_end(site: Site, printer: Make) -> None:
    sue = await site.person("sue")
    phaser = await printer("phaser", pjl=True)
    async with site.visit(site.administrator, "/printers/phaser/settings") as page:
        await page.get_by_label("Service").fill(sue.address)
        await page.get_by_role("button", name="Save").click()
        await told(page, "Saved.")
        await live(page, "/printers/phaser")
        phaser.take_paper()
        number = await site.house.mail("phaser", PAGE)
        state = page.locator("#standing")
        await state.get_by_text("the paper is used up").wait_for()
        await chip(page, f"#job-{number}", "stopped")
        (trouble,) = await site.reads(sue, 1)
        assert trouble["Auto-Submitted"] == "auto-generated"
        assert "phaser" in trouble["Subject"]
        assert "the paper is used up" in body(trouble)
        phaser.resume()
        await chip(page, f"#job-{number}", "printed")
        await chip(page, "#standing", "ready")
        _, clear = await site.reads(sue, 2)
    assert clear["In-Reply-To"] == trouble["Message-ID"]
    assert trouble["Message-ID"] in clear["References"].split()
    assert clear["To"] == sue.address
    assert (await site.house.job(number)).state is JobState.COMPLETED
    assert (await phaser.job(1)).pages == 1


def body(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


async def test_a_sender_is_told_that_his_job_is_printed(site: Site, printer: Make) -> None:
    carol = await site.person("carol")
    await printer("tells")
    async with site.visit(site.administrator, "/printers/tells/settings") as page:
        await page.get_by_label("Tell the sender when his job is printed").check()
        await page.get_by_role("button", name="Save").click()
        await told(page, "Saved.")
    message = mail_of(PAGE, subject="Invitation", sender=carol.address)
    parsed = email.message_from_bytes(message, policy=email.policy.SMTP)
    parsed["Message-ID"] = "<invitation@client.example.com>"
    await site.submits(parsed.as_bytes(), "tells", carol)
    (mail,) = await site.reads(carol, 1)
    assert "Invitation" in mail["Subject"]
    assert "printed" in body(mail)
    assert mail["In-Reply-To"] == "<invitation@client.example.com>"


FIRST_NEWS = """new Promise(done => {
  const source = new EventSource("/live");
  source.addEventListener("changed", () => { source.close(); done(); });
})"""


async def test_what_changes_while_a_page_loads_is_seen(site: Site) -> None:
    """The stream's first word may come before htmx has seen the page; it is said once."""
    await site.house.add("slow", "socket://192.0.2.7:9100")
    paused = asyncio.Event()
    async with site.visit(site.administrator) as page:

        async def behind_the_page(route: Route) -> None:
            await site.house.store.set_paused("slow", paused=True)
            await route.continue_()
            paused.set()

        async def last_of_all(route: Route) -> None:
            await paused.wait()
            await page.evaluate(FIRST_NEWS)
            await route.continue_()

        await page.route("**/static/live.js?*", behind_the_page)
        await page.route("**/static/copy.js?*", last_of_all)
        await page.goto("/printers/slow")
        await chip(page, "#standing", "paused")


# -- keeping a printer going


async def test_a_printer_is_operated_from_its_page(site: Site, printer: Make) -> None:
    copier = await printer("copier")
    async with site.visit(site.administrator, "/printers/copier") as page:
        await page.get_by_role("button", name="Print a test page").click()
        await told(page, "The test page is job")
        await chip(page, "#job .lead", "printed")
        assert (await copier.job(1)).pages == 1
        await page.goto("/printers/copier")
        await page.get_by_role("button", name="Pause").click()
        await told(page, "copier is paused")
        number, waits = [await site.house.mail("copier", PAGE) for _ in range(2)]
        await page.get_by_role("button", name=f"Cancel job {number}").click()
        await told(page, f"Job {number} is canceled.")
        await page.get_by_role("button", name="Resume").click()
        await told(page, "copier goes on printing")
        await chip(page, f"#job-{waits}", "printed")
        await page.get_by_role("button", name="Refuse mail").click()
        await told(page, "copier takes no mail")
        code, text = await site.house.submit(mail_of(PAGE), "copier")
        assert (code, text[:4]) == (450, "4.2."), text
        await page.get_by_role("button", name="Accept mail").click()
        await told(page, "copier takes mail again")
        await site.house.job(await site.house.mail("copier", PAGE), JobState.COMPLETED)
        await page.get_by_role("button", name=f"Print again job {number}").click()
        await told(page, f"Job {number} prints again, as job")
        await chip(page, "#job .lead", "printed")
        assert (await copier.job(4)).pages == 1


async def test_what_nobody_can_know_is_decided_on_the_page(site: Site, printer: Make) -> None:
    flaky = {name: await printer(name, "reset-after:200000*1") for name in ("flaky", "shaky")}
    jobs = [await site.house.mail(name, LARGE) for name in flaky]
    for number in jobs:
        await site.house.job(number, JobState.PROCESSING_STOPPED)
    async with site.visit(site.administrator, f"/jobs/{jobs[0]}") as page:
        await page.get_by_text("Look at the printer: did it print?").wait_for()
        await page.get_by_role("button", name="It was printed").click()
        await told(page, f"Job {jobs[0]} counts as printed.")
        await page.goto(f"/jobs/{jobs[1]}")
        await page.get_by_role("button", name="Print it again").click()
        await told(page, f"Job {jobs[1]} prints again, under a banner that says so.")
        await chip(page, "#job .lead", "printed")
    assert (await site.house.job(jobs[0])).state is JobState.COMPLETED
    assert (await flaky["shaky"].job(2)).pages >= 1
    assert len(flaky["flaky"].jobs) == 1
