"""AUTH (RFC 4954): an exchange, and the verdict of the directory of people on it.

Security: names and passwords are guesses until the directory has said yes.  They are taken under TLS only; each wrong
one costs the same time, whether the name exists or not, a connection has few, and a client over all its connections
has not many (`guessing`).  Neither is ever logged.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog
from prometheus_client import Counter

from appliance.guessing import TooManyGuesses
from appliance.sasl import Credentials, Exchange
from appliance.smtp.reply import Reply, refusal
from appliance.smtp.site import Site
from mailstore import address as addresses
from mailstore.directory.records import Person
from mailstore.failure import Failure, PermanentFailure, TransientFailure

ATTEMPTS = Counter("printpost_smtp_auth_attempts_total", "Logins that were tried at submission")
FAILURES = Counter("printpost_smtp_auth_failures_total", "Logins that the directory denied at submission")

WELCOME: Final = Reply(code=235, status="2.7.0", text="welcome")
DENIED: Final = Reply(code=535, status="5.7.8", text="the user name or the password is wrong")
EXPIRED: Final = Reply(code=421, status="4.7.0", text="your login has ended; connect and log in again", close=True)
TOO_LONG: Final = Reply(code=500, status="5.5.6", text="the line is too long for an authentication")

log = structlog.get_logger()


def respond(exchange: Exchange, response: str) -> Credentials | Reply:
    """The credentials, once the exchange is complete; else what is to be said."""
    try:
        credentials = exchange.respond(response)
    except PermanentFailure as failure:
        return Reply(code=535 if failure.status == "5.7.8" else 501, status=failure.status, text=failure.text)
    return credentials or Reply(code=334, status="", text=exchange.challenge)


async def verify(site: Site, credentials: Credentials, client_ip: str) -> Person | Reply:
    """The person whose credentials these are.  A "no" takes as long as the limits say, in all."""
    assert site.people is not None
    began = time.monotonic()
    ATTEMPTS.inc()
    try:
        async with site.guesses.trying(client_ip, credentials.name) as trial:
            person = await site.people.verify(credentials.name, credentials.password)
            if person is not None:
                trial.right()
    except TooManyGuesses as failure:
        return Reply(code=454, status=failure.status, text=failure.text, close=True)
    except TransientFailure as failure:
        log.warning("login not decided", client=client_ip, why=str(failure))
        return Reply(code=454, status="4.7.0", text="nobody can log in now, try again later")
    if person is not None:
        return person
    FAILURES.inc()
    log.info("login denied", client=client_ip)
    await asyncio.sleep(max(0.0, began + site.limits.denial_seconds - time.monotonic()))
    return DENIED


async def as_of_now(site: Site, person: Person) -> Person | Reply:
    """The directory's word of today on somebody who has logged in; why he may not send any more, if so."""
    assert site.people is not None
    try:
        found = await site.people.person(person.name)
    except Failure as failure:
        return refusal(failure)
    # Who bears the name now may be another one: of ours, where the other was of the site's directory.
    return EXPIRED if found is None or found.local != person.local else found


async def printers_own(site: Site, person: Person, address: str) -> Reply | None:
    """Why nobody may send as `address`: it is a printer's, whatever the site's own directory says of `person`."""
    plain, _ = addresses.split_subaddress(addresses.canonical(address))
    try:
        printer = await site.directory.printer_by_address(plain)
    except Failure as failure:
        return refusal(failure)
    if printer is None:
        return None
    text = f"{plain} is the printer {printer.name}, and {person.name} may not send as it; ask the administrator"
    return Reply(code=553, status="5.7.1", text=text, reason="not-allowed")
