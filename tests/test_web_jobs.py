"""The pages of jobs, by HTTP against a real store, a real slapd and uvicorn."""

from __future__ import annotations

import contextlib
import html
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from appliance.web import jobs as jobs_page
from appliance.web.job_rows import Wish, wishes
from appliance.web.paper import EVIDENCE
from appliance.web.words import (
    SENDER_PROOFS,
    TRUST,
    document_in_words,
    fate_in_words,
    format_in_words,
    sender_in_words,
)
from mailstore.directory.records import Person
from mailstore.document_format import DocumentFormat
from mailstore.job import DeliveryProof, Event, Job, JobState, Proof
from mailstore.store.papers import DocumentRecord, Fate
from printerbridge.thumbnails import Samples, png
from tests.web_house import ADA_NAME, ADA_PASSWORD, PRINTER, WebHouse, web_house

SECRET = "correct horse"
OFFICE = replace(PRINTER, service_person=("sam@example.com",), sysadmin=("linus@example.com",))
OTHER = replace(PRINTER, name="other", addresses=("other@example.com",), uri="socket://192.0.2.8:9100")
# Jobs here are Ada's, so she is the owner of each.
ROLES = {"administrator": "grace", "SysAdmin": "linus", "Service": "sam", "owner": "ada", "nobody": "eve"}
OPERATORS = {"administrator", "SysAdmin", "Service"}
EVIL = "<script>alert(1)</script>"
PICTURE = png(Samples(width=160, components=1, octets=bytes(160 * 226)))


@contextlib.asynccontextmanager
async def house_of(folder: Path) -> AsyncIterator[WebHouse]:
    async with web_house(folder, OFFICE, OTHER) as house:
        for name in ("linus", "sam", "eve"):
            await house.people.add(Person(name=name, addresses=(f"{name}@example.com",)), SECRET)
        await house.changed()
        yield house


def logged_in(house: WebHouse, name: str) -> contextlib.AbstractAsyncContextManager[httpx2.AsyncClient]:
    if name == "grace":
        return house.browser()
    return house.browser(name, ADA_PASSWORD if name == ADA_NAME else SECRET)


async def state(house: WebHouse, number: int) -> JobState:
    job = await house.store.job(number)
    assert job is not None
    return job.state


async def waiting(house: WebHouse) -> int:
    return await house.mail()


async def held(house: WebHouse) -> int:
    number = await house.mail()
    assert await house.store.hold(number, "grace")
    return number


async def printed(house: WebHouse) -> int:
    return await _driven(house, Event.COMPLETE)


async def doubtful(house: WebHouse) -> int:
    return await _driven(house, Event.DOUBT)


async def _driven(house: WebHouse, event: Event) -> int:
    """As the bridge would."""
    number = await house.mail(name="Quarterly report")
    store = house.store
    lease = await store.acquire("device:socket://192.0.2.7:9100", "bridge", 60)
    assert lease is not None
    assert await store.claim(lease, number, ["job-printing"])
    assert await store.sending(lease, number, 0)
    if event is Event.COMPLETE:
        reasons = ["job-completed-successfully"]
        assert await store.end(lease, number, event, reasons=reasons, proof=DeliveryProof.JOB_END, pages=3)
    else:
        assert await store.move(lease, number, event, reasons=["job-suspended", "x-delivery-unknown"])
    await store.release(lease)
    return number


# -- who may wish what

WISHES = {
    Wish.CANCEL: (waiting, OPERATORS | {"owner"}, JobState.CANCELED),
    Wish.HOLD: (waiting, OPERATORS, JobState.PENDING_HELD),
    Wish.RELEASE: (held, OPERATORS, JobState.PENDING),
    Wish.PRINTED: (doubtful, OPERATORS | {"owner"}, JobState.COMPLETED),
    Wish.REPRINT: (doubtful, OPERATORS | {"owner"}, JobState.PENDING),
    Wish.AGAIN: (printed, OPERATORS | {"owner"}, JobState.COMPLETED),
}


@pytest.mark.parametrize("role", ROLES)
async def test_who_may_wish_what(role: str, tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, logged_in(house, ROLES[role]) as browser:
        for wish, (made, roles, after) in WISHES.items():
            number = await made(house)
            before = await state(house, number)
            page = await browser.get(f"/jobs/{number}")
            assert page.status_code == (404 if role == "nobody" else 200)
            assert (f'action="/jobs/{number}/{wish}"' in page.text) is (role in roles), wish
            answer = await browser.post(f"/jobs/{number}/{wish}")
            if role in roles:
                assert answer.status_code == 303, wish
                assert await state(house, number) is after
            else:
                # What is none of his business is told like what is not there; his own he may not hold.
                assert answer.status_code == (404 if role == "nobody" else 403), wish
                assert await state(house, number) is before


async def test_strangers_are_led_to_the_login(tmp_path: Path) -> None:
    async with web_house(tmp_path, OFFICE) as house, house.stranger() as client:
        number = await house.mail()
        for method, path in (
            ("GET", "/jobs"),
            ("GET", f"/jobs/{number}"),
            *(("POST", f"/jobs/{number}/{wish}") for wish in Wish),
        ):
            answer = await client.request(method, path)
            assert (answer.status_code, answer.headers["location"][:6]) == (303, "/login")
        assert await state(house, number) is JobState.PENDING


async def test_a_wish_from_another_sites_page_is_refused(tmp_path: Path) -> None:
    async with web_house(tmp_path, OFFICE) as house, house.browser() as browser:
        number = await house.mail()
        answer = await browser.post(f"/jobs/{number}/cancel", headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 403
        assert await state(house, number) is JobState.PENDING


async def test_a_wish_that_comes_too_late(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        number = await printed(house)
        for wish in (Wish.CANCEL, Wish.HOLD, Wish.RELEASE, Wish.PRINTED, Wish.REPRINT):
            answer = await browser.post(f"/jobs/{number}/{wish}")
            assert answer.status_code == 409
            assert f"Job {number} stays as it is" in answer.text
        again = await browser.post(f"/jobs/{await waiting(house)}/again")
        assert again.status_code == 400


async def test_after_a_wish_one_is_back_where_one_was_and_nowhere_else(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        for back, location in (
            ("/jobs?state=open", "/jobs?state=open"),
            ("/printers/office", "/printers/office"),
            ("", "/jobs/{number}"),
            ("https://elsewhere.example/", "/"),
            ("//elsewhere.example/", "/"),
        ):
            number = await waiting(house)
            answer = await browser.post(f"/jobs/{number}/cancel", data={"back": back})
            assert answer.headers["location"] == location.format(number=number)
            assert f"Job {number} is canceled." in (await browser.get("/jobs")).text


async def test_printing_again_leads_to_the_new_job(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, logged_in(house, "ada") as browser:
        number = await printed(house)
        page = (await browser.get(f"/jobs/{number}")).text
        assert "it can be printed again until then" in page
        answer = await browser.post(f"/jobs/{number}/again")
        made = int(answer.headers["location"].removeprefix("/jobs/"))
        assert f"Job {number} prints again, as job {made}." in (await browser.get(f"/jobs/{made}")).text
        assert await state(house, made) is JobState.PENDING


@pytest.mark.parametrize("number", ["0", "7", "99999999999999999999999999"])
async def test_a_job_that_is_not_there(number: str, tmp_path: Path) -> None:
    async with web_house(tmp_path, OFFICE) as house, house.browser() as browser:
        for answer in (await browser.get(f"/jobs/{number}"), await browser.post(f"/jobs/{number}/cancel")):
            assert answer.status_code == 404
            assert f"There is no job {number}." in answer.text
        assert (await browser.get("/jobs/-1")).status_code in (404, 422)
        assert (await browser.post("/jobs/1/explode")).status_code in (404, 405, 422)


# -- what is told


async def test_a_job_in_words(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, logged_in(house, "ada") as browser:
        number = await printed(house)
        page = re.sub(r"\s+", " ", (await browser.get(f"/jobs/{number}")).text)
        for told in (
            "Quarterly report",
            "sent to office@example.com",
            "ada@example.com (you)",
            TRUST["insider"].replace("'", "&#39;"),
            *EVIDENCE[DeliveryProof.JOB_END],
            "1 document, 3 pages",
            "<span>sending: attempt 1, document 1</span>",
            "<span>printed</span>",
        ):
            assert told in page
        job = await house.store.job(number)
        assert job is not None
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(job.received_at))
        assert f'<time datetime="{stamp}">' in page


async def with_documents(house: WebHouse) -> int:
    """A job of several documents, of which not all printed."""
    number = await house.mail(name="Quarterly report")
    store = house.store
    await store.record_documents(number, DOCUMENTS)
    for document, page in ((1, 1), (2, 1), (2, 2)):
        assert await store.keep_thumbnail(number, document, page, PICTURE)
    lease = await store.acquire("device:socket://192.0.2.7:9100", "bridge", 60)
    assert lease is not None
    assert await store.sending(lease, number, 0)
    await store.documents_printed(number)
    reasons = ["job-completed-with-errors"]
    detail = "sent 1 octet in 1 ms, proof: none; not printed: document 4: the PDF is encrypted"
    none = DeliveryProof.NONE
    assert await store.end(lease, number, Event.COMPLETE, reasons=reasons, proof=none, pages=13, detail=detail)
    await store.release(lease)
    return number


def document(number: int, name: str, kind: DocumentFormat, pages: int, fate: Fate, detail: str = "") -> DocumentRecord:
    return DocumentRecord(number=number, name=name, format=kind, pages=pages, fate=fate, detail=detail)


DOCUMENTS = (
    document(1, "", DocumentFormat.TEXT, 1, Fate.READY),
    document(2, "Report.pdf", DocumentFormat.PDF, 12, Fate.READY, "cairo-postscript"),
    document(3, "logo.png", DocumentFormat.PNG, 0, Fate.LEFT_OUT, "it stands in every mail of this sender"),
    document(4, f"{EVIL}.pdf", DocumentFormat.PDF, 0, Fate.FAILED, f"{EVIL} the PDF is encrypted"),
)


async def test_the_documents_of_a_job_in_words(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, logged_in(house, "ada") as browser:
        waits = await waiting(house)
        assert "<h2>Documents</h2>" not in (await browser.get(f"/jobs/{waits}")).text  # nobody has looked into it yet
        number = await with_documents(house)
        page = (await browser.get(f"/jobs/{number}")).text
        assert EVIL not in page
        told = re.search(r"not all printed</span>\s*<span class=.reason.>(.*?)</span>", page)
        assert told
        assert told[1] == "document 4: the PDF is encrypted"
        rows = [
            re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row)).strip()
            for row in re.findall(r'<tr role="row">(.*?)</tr>', page, re.DOTALL)
        ]
        assert rows[1:] == [
            "1 without a name text 1 ✓ printed",
            "2 Report.pdf PDF 12 ✓ printed cairo-postscript",
            "3 logo.png PNG picture - ‖ left out it stands in every mail of this sender",
            f"4 {html.escape(EVIL)}.pdf PDF - ! not printed {html.escape(EVIL)} the PDF is encrypted",
        ]
        pictures = re.findall(r'<img src="(/api[^"]+)" alt="([^"]+)" width="160" height="226"', page)
        assert pictures == [
            (f"/api/v1/jobs/{number}/pictures/1/1", "Page 1 of document 1"),
            (f"/api/v1/jobs/{number}/pictures/2/1", "Page 1 of Report.pdf"),
            (f"/api/v1/jobs/{number}/pictures/2/2", "Page 2 of Report.pdf"),
        ]
        for path, _ in pictures:
            answer = await browser.get(path)
            assert (answer.content, answer.headers["content-type"]) == (PICTURE, "image/png")
        async with logged_in(house, "eve") as other:
            assert (await other.get(pictures[0][0])).status_code == 404
        async with house.stranger() as client:
            assert (await client.get(pictures[0][0])).status_code == 401


async def test_the_list_names_documents_and_shows_the_first_page(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, logged_in(house, "ada") as browser:
        number = await with_documents(house)
        many = await waiting(house)
        await house.store.record_documents(
            many, [document(n, f"{n}.pdf", DocumentFormat.PDF, 1, Fate.READY) for n in range(1, 7)]
        )
        for path in ("/jobs", "/printers/office"):
            page = re.sub(r"\s+", " ", (await browser.get(path)).text)
            assert f'<img src="/api/v1/jobs/{number}/pictures/1/1" alt="" width="48" height="68"' in page
            assert '<span class="address">Report.pdf</span>' in page
            assert "logo.png" not in page
            assert re.search(r'pdf <span class="chip bad">.{,80}not printed</span></span>', page)
            assert '<span class="address">3.pdf</span> <span class="address">and 3 more</span>' in page
            assert "4.pdf" not in page
            assert EVIL not in page


async def test_pages_of_a_printer_that_became_confidential_are_not_shown(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        number = await with_documents(house)
        await house.directory.replace(replace(OFFICE, confidential=True))
        await house.changed()
        for path in ("/jobs", f"/jobs/{number}"):
            page = (await browser.get(path)).text
            assert "Report.pdf" in page
            assert "/pictures/" not in page
        assert (await browser.get(f"/api/v1/jobs/{number}/pictures/1/1")).status_code == 404


def test_every_format_and_fate_has_words() -> None:
    told = [format_in_words(one) for one in DocumentFormat]
    assert len(set(told)) == len(told)
    assert not any("/" in words and words != "ESC/P" for words in told)
    assert format_in_words("application/x-strange") == "application/x-strange"
    assert len({fate_in_words(fate, JobState.COMPLETED) for fate in Fate}) == len(Fate)
    assert fate_in_words(Fate.READY, JobState.CANCELED) == "made ready, not sent"
    assert fate_in_words(Fate.FAILED, JobState.ABORTED) == "not printed"


def test_a_document_on_a_line() -> None:
    evil = document(4, "a\x1b[31m\nb", DocumentFormat.PDF, 1, Fate.FAILED, "it\x07 is\r\nencrypted")
    assert document_in_words(evil, JobState.COMPLETED) == "a[31m b, PDF, 1 page: not printed (it is encrypted)"
    assert document_in_words(DOCUMENTS[0], JobState.COMPLETED) == "without a name, text, 1 page: ready"


async def test_a_job_in_doubt_asks(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, logged_in(house, "sam") as browser:
        number = await doubtful(house)
        for path in (f"/jobs/{number}", "/printers/office"):
            page = (await browser.get(path)).text
            assert "in doubt" in page
            assert "nobody can know what was printed" in page
            assert f'action="/jobs/{number}/printed"' in page
            assert f'action="/jobs/{number}/reprint"' in page


def test_every_proof_and_trust_has_words() -> None:
    assert set(EVIDENCE) == set(DeliveryProof)
    assert set(SENDER_PROOFS) == set(Proof)
    assert set(TRUST) == {"insider", "verified", "stranger"}


def test_who_sent_it_in_words() -> None:
    job = job_in(JobState.PENDING)
    assert sender_in_words(job) == "not proved"
    told = sender_in_words(replace(job, proof=Proof.SPF, proved="ada@example.com"))
    assert told.startswith("ada@example.com, proved by SPF")
    assert sender_in_words(replace(job, proof=Proof.TOKEN)).startswith("nobody's address is proved")


async def test_a_job_that_a_limit_holds_is_released_at_the_page(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, logged_in(house, "sam") as browser:
        number = await house.mail(name="Long report")
        limit = "with 12 pages it would pass the printer's limit of 10 pages a day"
        assert await house.store.hold_for_limit(number, limit)
        page = re.sub(r"\s+", " ", (await browser.get(f"/jobs/{number}")).text)
        assert f"held, because it would pass a limit of pages: {limit.replace(chr(39), '&#39;')}" in page
        assert f'aria-label="Release job {number}"' in page
        assert (await browser.post(f"/jobs/{number}/release")).status_code == 303
        job = await house.store.job(number)
        assert job is not None
        assert (job.state, job.waived) == (JobState.PENDING, True)


def job_in(state_: JobState, *reasons: str) -> Job:
    return Job(
        id=7, printer="office", state=state_, reasons=reasons, sender="", name="", message_id=1, octets=1, documents=1,
        pages=0, attempts=0, delivery_proof=DeliveryProof.NONE, trust="insider", detail="", received_at=1.0,
        processing_at=0.0, sending_at=0.0, completed_at=0.0, next_attempt_at=0.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("job", "operated", "kept", "expected"),
    [
        (job_in(JobState.PENDING), True, 0.0, [Wish.HOLD, Wish.CANCEL]),
        (job_in(JobState.PENDING), False, 0.0, [Wish.CANCEL]),
        (job_in(JobState.PENDING_HELD), True, 0.0, [Wish.RELEASE, Wish.CANCEL]),
        (job_in(JobState.PENDING_HELD, "account-limit-reached"), True, 0.0, [Wish.RELEASE, Wish.CANCEL]),
        (job_in(JobState.PENDING_HELD, "job-incoming"), True, 0.0, [Wish.CANCEL]),
        (job_in(JobState.PROCESSING), True, 0.0, [Wish.CANCEL]),
        (job_in(JobState.PROCESSING_STOPPED, "printer-stopped"), True, 0.0, [Wish.CANCEL]),
        (
            job_in(JobState.PROCESSING_STOPPED, "job-suspended", "x-delivery-unknown"),
            False,
            0.0,
            [Wish.PRINTED, Wish.REPRINT, Wish.CANCEL],
        ),
        (job_in(JobState.COMPLETED), True, 101.0, [Wish.AGAIN]),
        (job_in(JobState.COMPLETED), True, 100.0, []),
        (job_in(JobState.ABORTED), False, 101.0, [Wish.AGAIN]),
        (job_in(JobState.CANCELED), True, 0.0, []),
    ],
)
def test_what_can_be_done_with_a_job(job: Job, operated: bool, kept: float, expected: list[Wish]) -> None:
    assert wishes(job, operated=operated, kept_until=kept, now=100.0) == expected


# -- the list


def listed(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'id="job-(\d+)"', page)]


async def test_the_list_holds_what_one_may_see(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house:
        adas, eves = await house.mail(), await house.mail("other", sender="eve@example.com")
        for name, expected in {"grace": [eves, adas], "sam": [adas], "ada": [adas], "eve": [eves]}.items():
            async with logged_in(house, name) as browser:
                assert listed((await browser.get("/jobs")).text) == expected
                assert listed((await browser.get("/printers/office")).text) == [n for n in expected if n == adas]


async def test_the_list_can_be_narrowed(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        done, doubt, hold = await printed(house), await doubtful(house), await held(house)
        other = await house.mail("other")
        for query, expected in {
            "": [other, hold, doubt, done],
            "?printer=OTHER": [other],
            "?state=open": [other, hold, doubt],
            "?state=printed": [done],
            "?state=doubt&printer=office": [doubt],
            "?state=held": [hold],
            "?state=aborted": [],
            "?state=nonsense": [other, hold, doubt, done],
        }.items():
            page = (await browser.get(f"/jobs{query}")).text
            assert listed(page) == expected, query
        assert "No such job." in (await browser.get("/jobs?state=aborted")).text
        assert (await browser.get("/jobs?printer=attic")).status_code == 404
        assert (await browser.get("/jobs?before=-1")).status_code == 422


async def test_older_jobs_are_a_page_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_page, "SHOWN", 2)
    async with house_of(tmp_path) as house, house.browser() as browser:
        numbers = [await house.mail() for _ in range(5)]
        seen: list[int] = []
        path = "/jobs?printer=office"
        while path:
            page = (await browser.get(path)).text
            seen += listed(page)
            found = re.search(r'href="(/jobs\?[^"]*before=\d+)">Older', page)
            path = found[1].replace("&amp;", "&") if found else ""
        assert seen == numbers[::-1]


async def test_many_printers_are_typed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        assert '<option value="other">other</option>' in (await browser.get("/jobs")).text
        monkeypatch.setattr(jobs_page, "CHOICES", 1)
        page = (await browser.get("/jobs?printer=other")).text
        assert '<option value="other"' not in page
        assert 'name="printer" type="text" value="other"' in page


async def test_no_job_yet(tmp_path: Path) -> None:
    async with web_house(tmp_path, OFFICE) as house, house.browser() as browser:
        assert "No job yet." in (await browser.get("/jobs")).text


async def test_strangers_text_stays_text(tmp_path: Path) -> None:
    async with web_house(tmp_path, OFFICE) as house, house.browser() as browser:
        number = await house.mail(name=EVIL, sender='"<img/src=x>"@example.com')
        await house.store.note(number, f"the printer said {EVIL}")
        for path in ("/jobs", f"/jobs/{number}", "/printers/office"):
            page = (await browser.get(path)).text
            assert EVIL not in page
            assert "<img/src" not in page
            assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "the printer said &lt;script&gt;" in (await browser.get(f"/jobs/{number}")).text
        assert EVIL not in (await browser.get(f"/jobs?printer={EVIL}")).text


async def test_with_the_directory_down_jobs_are_still_in_hand(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser, logged_in(house, "ada") as adas:
        number, other = await house.mail(), await house.mail()
        assert listed((await adas.get("/jobs")).text) == [other, number]
        await house.slapd.stop()
        house.directory.forget()
        for client in (browser, adas):
            page = await client.get("/jobs")
            assert page.status_code == 200
            assert "The directory does not answer" in page.text
            assert listed(page.text) == [other, number]
        assert (await adas.post(f"/jobs/{number}/cancel")).status_code == 303
        assert (await browser.post(f"/jobs/{other}/hold")).status_code == 303
        assert await state(house, number) is JobState.CANCELED
        assert await state(house, other) is JobState.PENDING_HELD


async def test_a_part_that_is_fetched_takes_no_words_from_the_page(tmp_path: Path) -> None:
    async with web_house(tmp_path, OFFICE) as house, house.browser() as client:
        await client.post("/printers/office/pause")
        assert "office is paused" not in (await client.get("/printers/office", headers={"HX-Request": "true"})).text
        assert "office is paused" in (await client.get("/printers/office")).text
        assert "office is paused" not in (await client.get("/printers/office")).text
