"""The mail server that takes our mail to others: one connection for several mails (RFC 5321, client side).

Everything has a deadline.  What the server says to a mail is that mail's fate: 4xx is a `TransientFailure`, 5xx a
`PermanentFailure`; what it says before (greeting, TLS, login) is never a mail's fault, so it is always transient.

Security: the server, or whoever sits on the way to it, may say anything: its words are cleaned and cut before they are
kept.  A password goes out only under a verified certificate, unless `[relay] tls = "none"` says otherwise.  `auto`
without a password and without `ca` encrypts but believes any certificate: whoever could forge one could as well hide
STARTTLS, and notices hold no document.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
from collections.abc import AsyncIterator
from email.utils import parseaddr
from pathlib import Path

import aiosmtplib

from mailstore.config import ConfigError, Relay
from mailstore.config_values import split_endpoint
from mailstore.failure import Failure, PermanentFailure, TransientFailure
from mailstore.header import clean

IMPLICIT_TLS = 465
"""RFC 8314 section 7.3."""

_LOG_IN_FIRST = 530  # RFC 3207 section 4, RFC 4954 section 6: our configuration's fault, and no mail's

_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})\b")


class Session:
    """A connection over which mails go."""

    def __init__(self, client: aiosmtplib.SMTP, name: str, deadline: float) -> None:
        self._client = client
        self._name = name
        self._deadline = deadline

    @property
    def usable(self) -> bool:
        """Whether another mail can be sent."""
        return self._client.is_connected

    async def send(self, recipient: str, octets: bytes) -> str:
        """Hand over one mail with a null reverse-path; returns the server's words.

        Raises `TransientFailure` or `PermanentFailure`.
        """
        if parseaddr(recipient)[1] != recipient:  # the library would send to what that finds
            raise PermanentFailure("5.1.3", f"{clean(recipient, 100)} is not an address for SMTP")
        options = [f"SIZE={len(octets)}"] if self._client.supports_extension("size") else []  # RFC 1870
        try:
            async with asyncio.timeout(2 * self._deadline):
                await self._client.mail("", options=options)
                await self._client.rcpt(recipient)
                answer = await self._client.data(octets)
        except aiosmtplib.SMTPResponseException as refused:
            await self._reset()
            raise _failure(self._name, refused.code, refused.message) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            self._client.close()
            raise TransientFailure("4.4.2", f"{self._name}: {_said(error)}") from None
        if answer.code != aiosmtplib.SMTPStatus.completed:
            await self._reset()
            raise _failure(self._name, answer.code, answer.message)
        return f"{answer.code} {clean(answer.message, 200)}"

    async def _reset(self) -> None:
        try:
            async with asyncio.timeout(self._deadline):
                await self._client.rset()
        except (aiosmtplib.SMTPException, OSError):
            self._client.close()


class Smarthost:
    """`[relay]` as a place to send to.  Raises `ConfigError` for a user without a password."""

    def __init__(self, relay: Relay, hostname: str, deadline: float) -> None:
        if relay.user and relay.password_file is None:
            raise ConfigError("[relay] user: a password is missing; name a file that holds it as [relay] password_file")
        self._relay = relay
        self._hostname = hostname
        self._deadline = deadline
        self.name = relay.smarthost

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Connected, encrypted and logged in as the configuration says.  Raises `TransientFailure`."""
        host, port = split_endpoint(self._relay.smarthost)
        password = await self._password()
        client = aiosmtplib.SMTP(
            hostname=host,
            port=port,
            local_hostname=self._hostname,
            timeout=self._deadline,
            use_tls=self._implicit(port),
            start_tls=False,
            tls_context=await self._context(),
        )
        try:
            await self._open(client, password)
            yield Session(client, self.name, self._deadline)
            if client.is_connected:
                with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                    async with asyncio.timeout(min(5.0, self._deadline)):
                        await client.quit()
        finally:
            client.close()

    def _implicit(self, port: int) -> bool:
        return self._relay.tls == "implicit" or (self._relay.tls == "auto" and port == IMPLICIT_TLS)

    async def _open(self, client: aiosmtplib.SMTP, password: str) -> None:
        try:
            async with asyncio.timeout(3 * self._deadline):
                await client.connect()
                with contextlib.suppress(aiosmtplib.SMTPHeloError):  # then it speaks HELO, and has no extensions
                    await client.ehlo()
                await self._encrypt(client)
                if self._relay.user:
                    await client.login(self._relay.user, password)
        except aiosmtplib.SMTPResponseException as refused:
            answer = _failure(self.name, refused.code, refused.message)
            raise TransientFailure("4.3.5", answer.text) from None
        except ssl.SSLCertVerificationError as error:
            raise self._unverified(error.verify_message) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                raise self._unverified(error.__cause__.verify_message) from None
            raise TransientFailure("4.4.1", f"{self.name}: {_said(error)}") from None
        except UnicodeError:  # how Python refuses to look such a name up
            raise TransientFailure("4.4.4", f"[relay] smarthost: {self.name} is no host's name") from None

    async def _encrypt(self, client: aiosmtplib.SMTP) -> None:
        """STARTTLS (RFC 3207), where it is wanted."""
        if client.use_tls or self._relay.tls == "none":
            return
        if client.supports_extension("starttls"):
            await client.starttls()
            with contextlib.suppress(aiosmtplib.SMTPHeloError):
                await client.ehlo()
        elif self._relay.tls == "starttls" or self._relay.user:
            raise TransientFailure(
                "4.7.0",
                f"{self.name} offers no STARTTLS, so nothing is sent in clear;"
                ' if the way there is safe, set [relay] tls = "none"',
            )

    async def _context(self) -> ssl.SSLContext:
        """Read at each use, so that a new `ca` counts."""
        relay = self._relay
        try:
            context = await asyncio.to_thread(ssl.create_default_context, cafile=relay.ca)
        except OSError as error:  # SSLError is one
            raise TransientFailure("4.3.5", f"[relay] ca: {relay.ca} cannot be used: {_said(error)}") from None
        if relay.tls == "auto" and not relay.user and relay.ca is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    async def _password(self) -> str:
        """Read at each use, so that a new one counts."""
        path = self._relay.password_file
        if not self._relay.user or path is None:
            return ""
        try:
            text = await asyncio.to_thread(Path(path).read_text, encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TransientFailure("4.3.5", f"[relay] password_file: {path} cannot be read: {_said(error)}") from None
        return text.removesuffix("\n").removesuffix("\r")

    def _unverified(self, why: str) -> TransientFailure:
        return TransientFailure(
            "4.7.0",
            f"{self.name}: its certificate is not to be trusted ({clean(why, 100)}); name who signs it as [relay] ca",
        )


def _failure(name: str, code: int, words: str) -> Failure:
    """What the server said, as ours: RFC 5321 section 4.2.1, RFC 2034."""
    words = clean(words, 200)
    found = _STATUS.match(words)
    kind = PermanentFailure if 500 <= code < 600 and code != _LOG_IN_FIRST else TransientFailure
    first = "5" if kind is PermanentFailure else "4"
    status = found[1] if found and found[1].startswith(first) else f"{first}.0.0"
    return kind(status, f"{name} said {code} {words}")


def _said(error: BaseException) -> str:
    """Why, in the fewest words."""
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, aiosmtplib.SMTPConnectError) and isinstance(error.__cause__, OSError):
        return _said(error.__cause__)
    if isinstance(error, OSError) and error.errno:
        return clean(os.strerror(error.errno) if error.errno > 0 else error.strerror or "", 200)
    return clean(str(error), 200) or type(error).__name__
