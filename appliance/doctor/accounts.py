"""Checks of the directory, of people, and of the way by which they hear of trouble."""

from __future__ import annotations

from collections.abc import AsyncIterator

from appliance.doctor.finding import Finding, House, error, note, ok, warning
from appliance.doctor.network import greeting
from mailstore.failure import Failure
from mailstore.header import clean


async def directory(house: House) -> AsyncIterator[Finding]:
    house.directory.forget()
    try:
        printers = await house.directory.printers()
    except Failure as failure:
        yield error("directory", f"{failure.text}: see [directory] in the configuration, and its server's log")
        return
    if printers:
        yield ok("directory", f"it knows {len(printers)} printer{'s' * (len(printers) != 1)}")
    else:
        yield note("directory", "there is no printer yet: printpost printer add NAME --uri socket://HOST:9100")


async def people(house: House) -> AsyncIterator[Finding]:
    try:
        people = await house.people.people()
    except Failure as failure:
        yield error("people", failure.text)
        return
    if not any(person.administrator for person in people) and not house.settings.people.administrators:
        yield warning(
            "people",
            "there is no administrator, so nobody can use the page fully and mail to postmaster is put off:"
            " printpost user add NAME --mail ADDRESS --administrator",
        )
    if house.settings.people.url:
        try:
            await house.people.person("printpost-doctor")
        except Failure as failure:
            yield error("people", f"[people] {house.settings.people.url}: {failure.text}")
        else:
            yield ok("people", f"the site's directory {house.settings.people.url} answers")


async def relay(house: House) -> AsyncIterator[Finding]:
    queue = await house.store.outgoing()
    if queue.waiting:
        why = f"; the last word on it: {clean(queue.last_error, 200)}" if queue.last_error else ""
        yield warning("notices", f"{queue.waiting} wait to be delivered{why}")
    if smarthost := house.settings.relay.smarthost:
        tls = house.settings.relay.tls
        implicit = tls == "implicit" or (tls == "auto" and smarthost.endswith(":465"))
        if trouble := await greeting(smarthost, implicit, b"220"):
            yield error("relay", f"notices do not get out: {trouble}; see [relay] smarthost")
        else:
            yield ok("relay", f"the smarthost {smarthost} answers")
        return
    outside = await _readers_elsewhere(house)
    if outside:
        yield warning(
            "relay",
            f"{', '.join(sorted(outside)[:5])} should hear of trouble and cannot: there is no [relay] smarthost, and"
            " they are no users here; set one, or make users of them with printpost user add",
        )


async def _readers_elsewhere(house: House) -> set[str]:
    """Addresses in printers' entries that only a smarthost could reach."""
    wanted = {
        address
        for printer in await house.directory.printers()
        for address in (*printer.service_person, *printer.sysadmin, *printer.key_user)
    }
    return {address for address in wanted if await house.people.person_by_address(address) is None}
