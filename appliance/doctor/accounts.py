"""Checks of the directory, of people, and of the way by which they hear of trouble."""

from __future__ import annotations

from collections.abc import AsyncIterator

from appliance.doctor.finding import Finding, error, note, ok, warning
from appliance.doctor.house import House
from appliance.doctor.network import PATIENCE
from appliance.smarthost import Smarthost
from mailstore.config import ConfigError, Relay
from mailstore.config_values import split_endpoint
from mailstore.failure import Failure, TransientFailure
from mailstore.header import clean

_SHOWN = 5
_ASKED = 500  # addresses that are looked for; a site has few people who answer for printers


async def directory(house: House) -> AsyncIterator[Finding]:
    if house.directory is None:
        return
    for dn, why in await house.directory.complaints():
        yield warning("directory", f"the entry {clean(dn, 200)} is damaged: {clean(why, 300)}; correct it there")
    if house.printers:
        count = len(house.printers)
        yield ok("directory", f"it knows {count} printer{'s' * (count != 1)}")
    else:
        yield note("directory", "there is no printer yet: printpost printer add NAME --uri socket://HOST:9100")


async def people(house: House) -> AsyncIterator[Finding]:
    if house.people is None:
        return
    own, site = await house.people.people(), house.settings.people
    if not any(person.administrator for person in own) and not site.administrators:
        yield warning(
            "people",
            "there is no administrator, so nobody can use the page fully and mail to postmaster is put off:"
            " printpost user add NAME --mail ADDRESS --administrator",
        )
    if not site.url:
        return
    try:
        unknown = [name for name in site.administrators if await house.people.person(name) is None]
        if not site.administrators:
            await house.people.person("printpost-doctor")
    except TransientFailure as failure:
        yield error("people", f"{site.url}: {failure.text}; see [people] in the configuration")
        return
    if unknown:
        yield warning(
            "people", f"[people] administrators names {', '.join(unknown)}, whom {site.url} does not know: correct it"
        )
    yield ok("people", f"the site's directory {site.url} answers")


async def notices(house: House) -> AsyncIterator[Finding]:
    if house.store is None:
        return
    queue = await house.store.outgoing()
    if queue.last_error:
        yield warning("notices", f"{queue.waiting} wait to be delivered; of the oldest: {clean(queue.last_error, 200)}")
    elif queue.waiting:
        yield note("notices", f"{queue.waiting} wait to be delivered")


async def relay(house: House) -> AsyncIterator[Finding]:
    settings = house.settings.relay
    if settings.smarthost:
        if spoken_in_clear(settings):
            yield warning(
                "relay",
                f'the password of {settings.user} goes to {settings.smarthost} in clear: set [relay] tls to "starttls"'
                ' or "implicit" unless the way there is safe by itself',
            )
        try:
            async with Smarthost(settings, house.settings.site.hostname, PATIENCE).session():
                pass
        except (Failure, ConfigError) as failure:
            why = failure.text if isinstance(failure, Failure) else str(failure)
            yield error("relay", f"notices do not get out: {why}; see [relay] in the configuration")
        else:
            yield ok("relay", f"the smarthost {settings.smarthost} takes us")
    elif outside := await _readers_elsewhere(house):
        more = f" and {len(outside) - _SHOWN} more" if len(outside) > _SHOWN else ""
        yield warning(
            "relay",
            f"{', '.join(outside[:_SHOWN])}{more} should hear of trouble and cannot, for there is neither a [relay]"
            " smarthost nor such a user here: set one, or printpost user add",
        )


def spoken_in_clear(relay: Relay) -> bool:
    """Whether a password is sent without TLS over more than this machine."""
    host = split_endpoint(relay.smarthost)[0]
    return bool(relay.user) and relay.tls == "none" and not (host in ("localhost", "::1") or host.startswith("127."))


async def _readers_elsewhere(house: House) -> list[str]:
    """Addresses in printers' entries that only a smarthost could reach."""
    if house.people is None:
        return []
    people, printers = house.people, house.printers
    told = (printer for printer in printers if not printer.is_group)
    wanted = sorted({one for each in told for one in (*each.service_person, *each.sysadmin, *each.key_user)})
    return [address for address in wanted[:_ASKED] if await people.person_by_address(address) is None]
