"""Addresses to give away at the page and by the API, with a real store, a real slapd and uvicorn; and in a browser."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from structlog.testing import capture_logs

from mailstore.address import split_subaddress
from mailstore.options import read, token_digest
from tests.openapi import PREFIX
from tests.test_web_printer import ROLES, house_of, logged_in
from tests.test_web_printer_browser import looking
from tests.web_house import GRACE_NAME, GRACE_PASSWORD, WebHouse

MAY = ("administrator", "SysAdmin")
FORM = {"note": "a visitor", "expires": "7d", "max_jobs": "3", "max_pages": " 40 "}


def shown(page: str) -> str:
    """The address that is shown once."""
    found = re.search(r'<output id="given" class="secret">([^<]+)</output>', page)
    assert found, page
    return found[1]


async def stands(house: WebHouse, address: str) -> bool:
    token = read(split_subaddress(address)[1]).token
    known = await house.store.capability(token_digest(token))
    return known is not None and not known.why_not(0.0)


async def test_one_is_made_shown_once_and_revoked(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with house_of(tmp_path) as house, house.browser() as browser:
            assert 'name="note"' in (await browser.get("/printers/office/addresses")).text
            answer = await browser.post("/printers/OFFICE/addresses", data=FORM)
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
            address = shown(answer.text)
            assert address.startswith("office+")
            assert await stands(house, address)
            (one,) = await house.store.capabilities("office")
            assert (one.note, one.made_by, one.max_jobs, one.max_pages) == ("a visitor", "grace", 3, 40)
            assert one.expires_at - one.created_at == pytest.approx(604800, abs=5)

            page = (await browser.get("/printers/office")).text
            assert "a visitor" in page
            assert "0 of 3 jobs, 0 of 40 pages" in page
            asked = await browser.get(f"/printers/office/addresses/{one.id}/revoke")
            assert "which was made for a visitor, any more" in asked.text
            assert await stands(house, address)
            done = await browser.post(f"/printers/office/addresses/{one.id}/revoke")
            assert (done.status_code, done.headers["location"]) == (303, "/printers/office#addresses")
            assert not await stands(house, address)
            page = (await browser.get("/printers/office")).text
            assert "it was revoked" in page
            assert "Revoke address" not in page
            token = read(split_subaddress(address)[1]).token
            assert token not in page + asked.text + str(done.headers)
    assert token not in str(logs)


@pytest.mark.parametrize("role", ROLES)
async def test_the_card_is_for_whoever_may_set_the_printer(role: str, tmp_path: Path) -> None:
    async with house_of(tmp_path) as house:
        one = await house.store.add_capability("office", token_digest("x"), made_by="grace", note="Charles")
        async with logged_in(house, ROLES[role]) as browser:
            page = (await browser.get("/printers/office")).text
            assert ("Addresses to give away" in page) is (role in MAY)
            assert ("Charles" in page) is (role in MAY)
            for path in ("addresses", f"addresses/{one.id}/revoke"):
                answer = await browser.get(f"/printers/office/{path}")
                assert answer.status_code == (200 if role in MAY else 403)
                assert ("Charles" in answer.text) is (role in MAY and path != "addresses")
            lie = {"expires": "never mind"}
            assert (await browser.post("/printers/office/addresses", data=lie)).status_code == (
                422 if role in MAY else 403
            )


async def test_another_site_makes_none(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        for lie in ("cross-site", "same-site"):
            answer = await browser.post("/printers/office/addresses", data=FORM, headers={"Sec-Fetch-Site": lie})
            assert answer.status_code == 403
        assert await house.store.capabilities() == []


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"expires": "soon"}, "is no time"),
        ({"expires": "2020-01-01"}, "is over already"),
        ({"max_jobs": "many"}, "Give a whole number"),
        ({"max_pages": "-1"}, "Give a whole number"),
        ({"max_pages": "٣"}, "Give a whole number"),
        ({"max_jobs": "999999999"}, "1 to 1000000"),
        ({"note": "x" * 128}, "at most 127 octets"),
    ],
)
async def test_what_is_wrong_is_said_and_what_was_typed_kept(tmp_path: Path, typed: dict[str, str], words: str) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        answer = await browser.post("/printers/office/addresses", data={**FORM, **typed})
        assert answer.status_code == 422
        assert words in answer.text
        for value in {**FORM, **typed}.values():
            assert f'value="{value}"' in answer.text
        assert await house.store.capabilities() == []


async def test_a_printer_that_takes_no_such_mail_gets_none(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        answer = await browser.post("/printers/phaser360/addresses")
        assert answer.status_code == 422
        assert "polls its mailbox" in answer.text


async def test_notes_are_text(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        note = "<script>alert(1)</script>"
        await browser.post("/printers/office/addresses", data={"note": note})
        (one,) = await house.store.capabilities()
        for path in ("", f"/addresses/{one.id}/revoke"):
            page = (await browser.get(f"/printers/office{path}")).text
            assert note not in page
            assert "&lt;script&gt;" in page


async def test_what_is_not_there(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        one = await house.store.add_capability("office", token_digest("x"), made_by="grace")
        for path in ("/printers/cellar/addresses", "/printers/office/addresses/77/revoke"):
            for method in ("GET", "POST"):
                assert (await browser.request(method, path)).status_code == 404
        assert (await browser.post(f"/printers/phaser360/addresses/{one.id}/revoke")).status_code == 404
        for number in ("0", "x", str(1 << 63)):
            assert (await browser.post(f"/printers/office/addresses/{number}/revoke")).status_code in (404, 422)
        assert await house.store.revoke_capability(one.id, "grace")


async def test_by_the_api(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house:
        house.client.auth = (GRACE_NAME, GRACE_PASSWORD)
        where = f"{PREFIX}/printers/office/addresses"
        made = (await house.client.post(where, json={"note": "shop", "max_pages": 5, "expires": "2099-01-01"})).json()
        assert await stands(house, made["address"])
        (told,) = (await house.client.get(where)).json()
        assert (told["id"], told["note"], told["max_pages"], told["good"]) == (made["id"], "shop", 5, True)
        assert read(split_subaddress(made["address"])[1]).token not in str(told)
        for _ in range(2):  # to revoke it twice does no harm
            assert (await house.client.delete(f"{where}/{made['id']}")).status_code == 204
        (told,) = (await house.client.get(where)).json()
        assert (told["good"], told["why_not"], told["revoked_by"]) == (False, "it was revoked", "grace")
        for body, status in (({"max_jobs": -1}, 422), ({"expires": "soon"}, 400), ({"notes": ""}, 422)):
            assert (await house.client.post(where, json=body)).status_code == status
        assert len(await house.store.capabilities()) == 1


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
async def test_in_a_browser(tmp_path: Path, width: int) -> None:
    grants = {"permissions": ["clipboard-read", "clipboard-write"], "viewport": {"width": width, "height": 800}}
    async with looking(tmp_path, ignore_https_errors=True, **grants) as (house, page):

        async def demand_good_page() -> None:
            found = await Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
            assert await page.evaluate("document.documentElement.scrollWidth") <= width

        await page.goto(f"{house.origin}/printers/office")
        await page.get_by_role("link", name="Make one").click()
        await page.get_by_label("What it is for").fill("a visitor")
        await page.get_by_label("Until").fill("soon")
        await page.get_by_role("button", name="Make it").click()
        await page.get_by_text("is no time").wait_for()
        await demand_good_page()
        await page.get_by_label("Until").fill("2 days")
        await page.get_by_role("button", name="Make it").click()
        await page.get_by_role("heading", name="Address 1 of office").wait_for()
        await demand_good_page()
        address = await page.locator("#given").inner_text()
        assert await stands(house, address)
        await page.get_by_role("button", name="Copy").click()
        await page.get_by_role("button", name="Copied").wait_for()
        assert await page.evaluate("navigator.clipboard.readText()") == address
        await page.get_by_role("link", name="Done").click()
        await page.get_by_role("link", name="Revoke address 1").wait_for()
        await demand_good_page()
        await page.get_by_role("link", name="Revoke address 1").click()
        await page.get_by_role("heading", name="Revoke address 1?").wait_for()
        await page.get_by_role("button", name="Revoke").click()
        await page.get_by_text("Address 1 is revoked").wait_for()
        await demand_good_page()
        assert not await stands(house, address)
