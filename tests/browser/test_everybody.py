"""Everybody can use every page: axe's rules, dark and light, on a telephone, and by the keyboard alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Page, ViewportSize

from mailstore.directory.records import PrintLimits
from mailstore.job import JobState
from tests.browser.visits import Login, Site, told
from tests.house import ADA
from tests.test_bridge import virtual_printer

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.slow]

NOWHERE = "socket://192.0.2.7:9100"
PAGE = b"%!PS-Adobe-3.0\n72 72 100 100 rectfill showpage\n"
LARGE = PAGE + b"%" * 400_000
DESK, TELEPHONE = ViewportSize(width=1200, height=844), ViewportSize(width=390, height=844)


@dataclass(frozen=True, slots=True)
class Scene:
    """Numbers of jobs, by how they ended."""

    printed: int
    doubtful: int
    canceled: int


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def scene(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A printer of each kind, with a job of each kind."""
    house = site.house
    await site.person("ursula")
    await house.add("tray", NOWHERE, allow=("@example.com", "ip:192.0.2.0/24"), deny=("mallory@example.com",))
    await house.store.set_condition("tray", "stopped", ["media-empty"], "TRAY 2 EMPTY")
    await house.add("cellar", poll_interval=60, location="Basement")
    await house.mail("cellar", PAGE)
    await house.store.set_paused("cellar", paused=True)
    facts = {"network_address": "192.0.2.7", "netmask": "255.255.255.0", "gateway": "192.0.3.1"}
    folder = tmp_path_factory.mktemp("scene")
    async with (
        virtual_printer(folder / "desk") as (_, uri),
        virtual_printer(folder / "bad", "reset-after:200000") as (_, bad),
    ):
        await house.add("desk", uri, service_person=(ADA,), model="Phaser", **facts)
        await house.add("bad", bad)
        await house.add("all", members=("desk", "tray", "cellar"), limits=PrintLimits(jobs=5), unverified_ok=True)
        printed, doubtful = await house.mail("desk", PAGE), await house.mail("bad", LARGE)
        await house.job(printed, JobState.COMPLETED)
        await house.job(doubtful, JobState.PROCESSING_STOPPED)
    canceled = await house.mail("tray", PAGE)
    await house.store.cancel(canceled, "ada")
    return Scene(printed, doubtful, canceled)


async def wrong_settings(page: Page) -> None:
    await page.goto("/printers/cellar/settings")
    for label in ("May print", "Room for jobs that wait", "Gateway"):
        await page.get_by_label(label).fill("nonsense")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("see what is said beside the fields").wait_for()


async def wrong_person(page: Page) -> None:
    await page.goto("/add-person")
    await page.get_by_label("User name").fill("ursula")
    await page.get_by_label("Addresses").fill("ursula@example.com")
    await page.get_by_role("button", name="Add").click()
    await page.locator("[aria-invalid]").first.wait_for()


async def new_printers_password(page: Page) -> None:
    await page.goto("/printers/cellar/settings")
    await page.get_by_role("button", name="Make a new password").click()
    await page.get_by_role("heading", name="Password of cellar").wait_for()


async def new_persons_password(page: Page) -> None:
    await page.goto("/people/ursula/password")
    await page.get_by_role("button", name="Make a new password").click()
    await page.locator(".secret").wait_for()


async def verdict(page: Page) -> None:
    await page.goto("/printers/desk/try?sender=mallory@example.com")
    await page.locator(".verdict").wait_for()


async def new_address(page: Page) -> None:
    await page.goto("/printers/desk/addresses")
    await page.get_by_label("What it is for").fill("Charles, visiting")
    await page.get_by_role("button", name="Make it").click()
    await page.locator(".secret").wait_for()


def pages(scene: Scene) -> dict[str, str | Callable[[Page], Awaitable[None]]]:
    """Every page, by what it shows."""
    return {
        "overview": "/",
        "a printer": "/printers/desk",
        "one that stopped": "/printers/tray",
        "one that polls": "/printers/cellar",
        "a group": "/printers/all",
        "settings of a group": "/printers/all/settings",
        "a new group": "/printers/new?group=true",
        "a verdict": verdict,
        "settings": "/printers/desk/settings",
        "settings of one that polls": "/printers/cellar/settings",
        "wrong settings": wrong_settings,
        "a printer's password": new_printers_password,
        "a new printer": "/printers/new",
        "removing one": "/printers/desk/remove",
        "an address to give away": "/printers/desk/addresses",
        "one that was made": new_address,
        "jobs": "/jobs",
        "no jobs": "/jobs?printer=tray&state=doubt",
        "a printed job": f"/jobs/{scene.printed}",
        "a doubtful job": f"/jobs/{scene.doubtful}",
        "a canceled job": f"/jobs/{scene.canceled}",
        "people": "/people",
        "a person": "/people/ursula",
        "a new person": "/add-person",
        "a wrong person": wrong_person,
        "a person's password": new_persons_password,
        "removing a person": "/people/ursula/remove",
        "account": "/account",
        "no such page": "/nothing",
        "no such job": "/jobs/999999",
    }


async def look(page: Page) -> list[str]:
    """What axe finds wrong with a page, light on a desk and dark on a telephone; there all of it must fit."""
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size(DESK)
    found = await broken_rules(page)
    await page.emulate_media(color_scheme="dark")
    await page.set_viewport_size(TELEPHONE)
    found += await broken_rules(page)
    wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [*found, f"{wide} px too wide"] if wide > 0 else found


async def broken_rules(page: Page) -> list[str]:
    found = (await Axe().run(page)).response
    assert found["passes"], "axe has looked at nothing"
    return [f"{fault['id']}: {fault['help']}" for fault in found["violations"]]


async def test_axe_and_the_ruler_find_what_is_wrong(site: Site) -> None:
    async with site.visit(path="/login", reduced_motion="reduce") as page:
        assert await look(page) == []
        await page.evaluate(
            "document.querySelector('h1').style.cssText = 'color: #999; background: #888; width: 500px'"
        )
        found = await look(page)
    assert [one.partition(":")[0] for one in found] == [*["color-contrast"] * 2, found[-1]]
    assert found[-1].endswith(" px too wide")


async def test_every_page_is_for_everybody(site: Site, scene: Scene) -> None:
    found = {}
    async with site.visit(path="/login", reduced_motion="reduce") as page:
        found["login"] = await look(page)
        await page.get_by_label("User name").fill("nobody")
        await page.get_by_label("Password").fill("wrong")
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_role("alert").wait_for()
        found["a wrong login"] = await look(page)
    async with site.visit(site.administrator, reduced_motion="reduce") as page:
        for name, way in pages(scene).items():
            if isinstance(way, str):
                await page.goto(way)
            else:
                await way(page)
            found[name] = await look(page)
    async with site.visit(await site.person("olga"), "/printers/desk/settings", reduced_motion="reduce") as page:
        found["not allowed"] = await look(page)
        await page.goto("/")
        found["overview of an ordinary user"] = await look(page)
    assert {name: each for name, each in found.items() if each} == {}


FOCUS = """() => {
  const one = document.activeElement;
  const style = getComputedStyle(one);
  const box = one.getBoundingClientRect();
  return {
    id: one.id, name: one.name || "", text: one.textContent.trim().slice(0, 40),
    seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0
      && box.width > 0 && box.left >= 0 && box.top >= 0 && box.top < innerHeight,
  };
}"""
"""What has the focus, and whether that can be seen."""


async def tab_to(page: Page, *, id: str = "", text: str = "") -> None:  # noqa: A002 - HTML's word
    """Press Tab until the focus is there.  Wherever it comes by it must be seen."""
    for _ in range(80):
        await page.keyboard.press("Tab")
        focus = await page.evaluate(FOCUS)
        assert focus["seen"], focus
        if (id and focus["id"] == id) or (text and focus["text"] == text):
            return
    raise AssertionError(f"Tab never comes to {id or text}")


async def test_the_keyboard_is_enough(site: Site, scene: Scene) -> None:
    async with site.visit(path="/login") as page:
        await type_login(page, site.administrator)
        await page.goto("/printers/desk")
        await tab_to(page, text="Skip to the content")
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"
        await tab_to(page, text="Settings")
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="Settings of desk").wait_for()
        await tab_to(page, id="allow")
        await page.keyboard.press("Control+A")
        await page.keyboard.type("ada@example.com")
        await tab_to(page, id="tell_printed")
        await page.keyboard.press("Space")
        await tab_to(page, id="location")
        await page.keyboard.type("Attic")
        await tab_to(page, text="Save")
        await page.keyboard.press("Enter")
        await told(page, "Saved.")
        await tab_to(page, id="sender")
        await page.keyboard.type("ada@example.com")
        await page.keyboard.press("Enter")
        await page.locator("#verdict .chip").get_by_text("may print").wait_for()
    site.house.directory.forget()
    saved = await site.house.directory.printer("desk")
    assert saved is not None
    assert (saved.allow, saved.location, saved.tell_printed) == ((ADA,), "Attic", True)


async def type_login(page: Page, login: Login) -> None:
    assert await page.evaluate("document.activeElement.id") == "name"
    await page.keyboard.type(login.name)
    await page.keyboard.press("Tab")
    await page.keyboard.type(login.password)
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Log out").wait_for()
