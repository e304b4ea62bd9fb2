"""What the walks share: the running system, people who visit its page, and the mail that they send and read.

A visit ends with a look at the browser's console: nothing that a page did may have failed or been forbidden there.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.policy
import poplib
import re
import smtplib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page

from tests.house import PATIENCE, House

OUTSIDE = "127.0.0.2"
"""An address of loopback that is none of the site's networks."""
LOOK = 0.2
"""Seconds between two looks into a maildrop."""
_ANSWERED = re.compile(r"Failed to load resource: the server responded with a status of (40[0349]|422|503) ")
"""What Chromium says of each page that is an answer to a mistake; of what a page consists of nothing may be missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Somebody's user name and password."""

    name: str
    password: str

    @property
    def address(self) -> str:
        return f"{self.name}@example.com"


class Site:
    """The system, a browser, and the administrator that the first start made."""

    def __init__(self, house: House, browser: Browser, administrator: Login) -> None:
        self.house = house
        self.browser = browser
        self.administrator = administrator
        self.origin = "http://{}:{}".format(*house.listen["web"])
        self._people: dict[str, Login] = {}

    @contextlib.asynccontextmanager
    async def visit(self, login: Login | None = None, path: str = "", **context: Any) -> AsyncIterator[Page]:
        """A browser of his own; logged in, and at `path` if one is given."""
        visitor = await self.browser.new_context(base_url=self.origin, **context)
        visitor.set_default_timeout(PATIENCE / 2 * 1000)
        page = await visitor.new_page()
        said = listen(page)
        try:
            if login:
                await page.goto("/login")
                await enter(page, login)
            if path:
                await page.goto(path)
            yield page
            assert not said, said
        finally:
            await visitor.close()

    async def person(self, name: str) -> Login:
        """Somebody whom the administrator added on the page of people."""
        if name not in self._people:
            async with self.visit(self.administrator, "/add-person") as page:
                await page.get_by_label("User name").fill(name)
                await page.get_by_label("Full name").fill(name.capitalize())
                await page.get_by_label("Addresses").fill(f"{name}@example.com")
                await page.get_by_role("button", name="Add").click()
                await page.get_by_role("heading", name=f"{name} was added").wait_for()
                password = await page.locator(".secret").inner_text()
            self._people[name] = Login(name=name, password=password)
        return self._people[name]

    @property
    def trust(self) -> ssl.SSLContext:
        """Believes in the certificate that the first start made, and in no other."""
        return ssl.create_default_context(cafile=str(self.house.data / "tls" / "certificate.pem"))

    # -- mail

    async def asks(self, printer: str, sender: str, *, ip: str = "127.0.0.1", login: Login | None = None) -> str:
        """What SMTP says to a recipient at once: code and text."""
        return await asyncio.to_thread(self._ask, f"{printer}@example.com", sender, ip, login)

    def _ask(self, recipient: str, sender: str, ip: str, login: Login | None) -> str:
        with self._client(ip, login) as client:
            code, text = client.mail(sender)
            assert code == 250, text
            code, text = client.rcpt(recipient)
            return f"{code} {text.decode()}"

    async def submits(self, message: bytes, printer: str, login: Login) -> None:
        """Mail by submission, with a password under STARTTLS.  Raises SMTPException."""

        def submit() -> None:
            with self._client("127.0.0.1", login) as client:
                assert client.sendmail(login.address, [f"{printer}@example.com"], message) == {}

        await asyncio.to_thread(submit)

    @contextlib.contextmanager
    def _client(self, ip: str, login: Login | None) -> Any:
        host, port = self.house.listen["submission" if login else "smtp"]
        with smtplib.SMTP(host, port, timeout=PATIENCE, source_address=(ip, 0)) as client:
            client.ehlo("client.example.com")
            if login:
                client.starttls(context=self.trust)
                client.ehlo("client.example.com")
                client.login(login.name, login.password)
            yield client

    async def reads(self, login: Login, count: int) -> list[EmailMessage]:
        """The mails in a person's maildrop, oldest first, once there are `count`."""
        found: list[EmailMessage] = []
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    found = await asyncio.to_thread(self._fetch, login)
                    if len(found) >= count:
                        return found
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            raise AssertionError(f"{login.name} has {len(found)} mails:\n{self.house.logs()}") from None

    def _fetch(self, login: Login) -> list[EmailMessage]:
        host, port = self.house.listen["pop3s"]
        with contextlib.closing(poplib.POP3_SSL(host, port, timeout=PATIENCE, context=self.trust)) as client:
            client.user(login.name)
            client.pass_(login.password)
            octets = [b"\r\n".join(client.retr(number + 1)[1]) for number in range(client.stat()[0])]
            client.quit()
        mails = [email.message_from_bytes(each, policy=email.policy.SMTP) for each in octets]
        return [mail for mail in mails if isinstance(mail, EmailMessage)]


def listen(page: Page) -> list[str]:
    """What the page's console complains of, from now on."""
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if "/static/" in message.location["url"] or not _ANSWERED.match(message.text):
            said.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: said.append(str(error)))
    return said


async def enter(page: Page, login: Login) -> None:
    """Log in, at the page for it."""
    await page.get_by_label("User name").fill(login.name)
    await page.get_by_label("Password").fill(login.password)
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("button", name="Log out").wait_for()


async def live(page: Page, path: str) -> None:
    """Open a page, and return when it is told of changes."""
    async with page.expect_response(lambda answer: "hx-request" in answer.request.headers):
        await page.goto(path)


async def told(page: Page, text: str) -> None:
    """Return when the page says what was done."""
    await page.locator(".flash").get_by_text(text).wait_for()


async def chip(page: Page, where: str, text: str) -> None:
    """Return when a state there has become this one."""
    await page.locator(f"{where} .chip").get_by_text(text).wait_for()
