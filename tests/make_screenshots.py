"""Makes docs/screenshots/ by looking at a real system: python -m tests.make_screenshots

It starts `printpost up` in a folder of its own, with three printers: one is served and prints, one polls, one has run
out of paper.  Ada, Alan and Grace mail it jobs; Chromium looks at the pages.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import poplib
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.async_api import FloatRect, Page, ViewportSize, async_playwright

from mailstore.directory.records import Language
from mailstore.job import JobState
from printerbridge.virtual import VirtualPrinter
from tests.browser.visits import Login, Site, told
from tests.documents import pdf
from tests.house import SECRET, house, mail_of, promised

TARGET = Path(__file__).parent.parent / "docs" / "screenshots"
LARGEST = 150_000  # octets of a picture
DESK, TELEPHONE = ViewportSize(width=1100, height=700), ViewportSize(width=390, height=844)
_COLOURS = 96

ADA, ALAN, GRACE = "ada@example.com", "alan@example.com", "grace@example.com"
SNMP_PORT = 9161
ENTRIES: dict[str, dict[str, Any]] = {
    "phaser360": {
        "allow": ("@example.com", "authenticated"),
        "deny": ("mallory@example.com",),
        "location": "Room 2.14",
        "model": "Tektronix Phaser 360",
        "pjl": True,
        "service_person": (ADA,),
        "key_user": (ALAN,),
        "tell_printed": True,
        "snmp_port": SNMP_PORT,
    },
    "phaser740": {
        "allow": ("@example.com", "partner@example.org"),
        "location": "Branch office",
        "model": "Tektronix Phaser 740",
        "service_person": (GRACE,),
        "sysadmin": (ADA,),
        "plain_from": ("192.0.2.0/24",),
        "network_address": "192.0.2.74",
        "netmask": "255.255.255.0",
        "gateway": "192.0.2.1",
        "hardware_address": "00:00:5e:00:53:4a",
    },
    "lab-laser": {
        "allow": (GRACE, ALAN),
        "location": "Laboratory",
        "model": "HP LaserJet 4100",
        "pjl": True,
        "snmp_port": SNMP_PORT,
        "service_person": (GRACE,),
    },
}


async def make() -> None:
    """Write all pictures."""
    with tempfile.TemporaryDirectory(prefix="screenshots-") as folder:
        async with running(Path(folder)) as (site, phaser, laser):
            ada = await administrator(site)
            number = await mail(site, ada, phaser, laser)
            async with site.visit(ada, "/printers/phaser360") as page:
                await page.get_by_text("Toner").first.wait_for()  # by SNMP, in its turn
            for name, path, end, scheme in (
                ("overview", "/", "", "light"),
                ("overview-dark", "/", "", "dark"),
                ("printer", "/printers/phaser360/try?sender=mallory@example.com", "", "light"),
                ("settings", "/printers/phaser740/settings", "section[aria-labelledby=device]", "light"),
                ("job", f"/jobs/{number}", "", "light"),
            ):
                async with site.visit(ada, path, viewport=DESK, color_scheme=scheme) as page:
                    write(name, await page.screenshot(full_page=True, clip=await above(page, end)))
            async with site.visit(ada, "/printers/lab-laser", viewport=TELEPHONE) as page:
                write("telephone", await page.screenshot())


async def above(page: Page, end: str) -> FloatRect:
    """The page from its top to where `end` begins, else to where its content ends."""
    where = await page.locator(end or "main").bounding_box()
    assert where is not None
    height = where["y"] if end else where["y"] + where["height"]
    return FloatRect(x=0, y=0, width=DESK["width"], height=height)


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Site, VirtualPrinter, VirtualPrinter]]:
    """The system with its three printers, and the two of them that are virtual ones."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with (
        virtual_printer(folder / "phaser360", "127.0.0.36") as phaser,
        virtual_printer(folder / "lab-laser", "127.0.0.41") as laser,
        house(folder / "house") as made,
        async_playwright() as playwright,
    ):
        said = re.search(r"Log in as (\S+) with the password (\S+) ", made.latest["up"].said)
        assert said, made.logs()
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        for name, uri in (
            ("phaser360", "socket://127.0.0.36:9100"),
            ("phaser740", ""),
            ("lab-laser", "socket://127.0.0.41:9100"),
        ):
            await made.add(name, uri, Language.POSTSCRIPT2, **ENTRIES[name])
        yield Site(made, browser, Login(name=said[1], password=said[2])), phaser, laser
        await browser.close()


@contextlib.asynccontextmanager
async def virtual_printer(output: Path, host: str) -> AsyncIterator[VirtualPrinter]:
    """One on an address of loopback that stays the same from picture to picture."""
    printer = VirtualPrinter(output, snmp=f"{host}:{SNMP_PORT}")
    await printer.start(host, 9100)
    try:
        yield printer
    finally:
        await printer.close()


async def administrator(site: Site) -> Login:
    """Ada, who administers."""
    ada = await site.person("ada")
    async with site.visit(site.administrator, "/people/ada") as page:
        await page.get_by_label("Full name").fill("Ada")
        await page.get_by_role("checkbox").check()
        await page.get_by_role("button", name="Save").click()
        await told(page, "ada was saved.")
    return ada


async def mail(site: Site, ada: Login, phaser: VirtualPrinter, laser: VirtualPrinter) -> int:
    """Everybody's jobs; returns the number of the one with the longest story."""
    made = site.house

    async def send(printer: str, subject: str, sender: str, pages: int = 1) -> int:
        code, text = await made.submit(mail_of(pdf(pages), subject=subject, sender=sender), printer, sender=sender)
        assert code == 250, text
        return promised(text)

    await made.job(await send("phaser360", "Invitation", GRACE))
    await made.job(await send("phaser360", "All the minutes of 1998", ALAN, 3))
    phaser.take_paper()
    await site.submits(mail_of(pdf(2), subject="Quarterly report", sender=ADA), "phaser360", ada)
    (newest, *_) = await made.store.jobs(printer="phaser360", limit=1)
    await made.job(newest.id, JobState.PROCESSING_STOPPED)
    phaser.resume()
    await made.job(newest.id)
    await polled(site)
    for subject, sender in (("Price list", "partner@example.org"), ("Order 1024", ALAN)):
        await send("phaser740", subject, sender)
    laser.take_paper()
    stopped = await send("lab-laser", "Measurements", GRACE)
    await made.job(stopped, JobState.PROCESSING_STOPPED)
    await send("lab-laser", "Programme of Friday", ALAN)
    return newest.id


async def polled(site: Site) -> None:
    """The printer in the branch office polls."""

    def poll() -> None:
        client = poplib.POP3(*site.house.pop3)
        client.user("phaser740")
        client.pass_(SECRET)
        client.quit()

    await asyncio.to_thread(poll)


def write(name: str, png: bytes) -> None:
    """The same picture in few colours."""
    file = TARGET / f"{name}.png"
    with Image.open(io.BytesIO(png)) as picture:
        few = picture.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
        few.save(file, "PNG", optimize=True)
    assert file.stat().st_size < LARGEST, file


if __name__ == "__main__":
    TARGET.mkdir(exist_ok=True)
    asyncio.run(make())
