"""What both processes export after one job of each kind, against what the reference promises."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry, generate_latest

from appliance.gauges import StoreGauges
from mailstore.directory.records import Language, Printer
from mailstore.report import PrinterReport, Supply, Tray
from mailstore.store.contract import Role
from mailstore.store.outbox import OutgoingMail
from mailstore.store.sql import open_store
from tests.directory_server import running_directory
from tests.documents import pdf, postscript
from tests.fetching import mpop
from tests.house import House, Metrics, foreign, house, mail_of
from tests.sink import sink

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "metrics.md"
_ROW = re.compile(r"^\| `(?P<name>printpost_\w+)` \| (?P<kind>\w+) \| (?P<labels>[^|]*) \| ", re.MULTILINE)
_TYPE = re.compile(r"^# TYPE (?P<name>printpost_\w+) (?P<kind>\w+)$", re.MULTILINE)
REPORT = PrinterReport(
    printer="polls",  # which the bridge does not ask
    asked_at=1000.0,
    answered_at=1000.0,
    pages=4711,
    supplies=(Supply(name="Toner", kind="toner", color="black", level=0.5),),
    trays=(Tray(name="Tray 1", media="a4", level=0.5),),
)
STORE_GAUGES = {"printpost_jobs", "printpost_mailbox_messages", "printpost_spool_free_bytes"}


@dataclass(frozen=True, slots=True)
class Scrapes:
    """Of both processes, at rest after a job that was printed, one that was fetched and one that was refused."""

    house: House
    appliance: Metrics
    bridge: Metrics


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scrapes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scrapes]:
    async with house(tmp_path_factory.mktemp("apart"), apart=True) as made:
        async with sink() as printer:
            await made.add("phaser", printer.uri, Language.POSTSCRIPT)
            await made.add("polls", poll_interval=300)
            await made.jobs(await made.mail("phaser", pdf(3)))
            polled = await made.mail("polls", postscript())
            await mpop(made, "polls", tmp_path_factory.mktemp("mpop"))
            await made.jobs(polled)
            await made.jobs(await made.mail("phaser", pdf(password="secret")))
            assert (await made.submit(mail_of(postscript()), "nobody"))[0] == 550
            await made.store.set_report(REPORT)
            assert await made.store.report("polls") == REPORT  # from now on others see it, too
        yield Scrapes(made, await made.scrape(made.metrics), await made.scrape(made.bridge_metrics))


def documented() -> dict[str, tuple[str, set[str]]]:
    rows = _ROW.finditer(REFERENCE.read_text(encoding="utf-8"))
    return {row["name"]: (row["kind"], set(re.findall(r"`(\w+)`", row["labels"]))) for row in rows}


async def test_every_documented_name_is_there_and_no_other(scrapes: Scrapes) -> None:
    exported = {
        found["name"]: found["kind"]
        for text in (scrapes.appliance.text, scrapes.bridge.text)
        for found in _TYPE.finditer(text)
    }
    assert exported == {name: kind for name, (kind, _) in documented().items()}


async def test_the_labels_are_the_documented_ones(scrapes: Scrapes) -> None:
    labels = {name: known for name, (_, known) in documented().items()}
    seen = set()
    for scrape in (scrapes.appliance, scrapes.bridge):
        for family in scrape.families.values():
            for sample in family.samples:
                name = sample.name if sample.name in labels else re.sub("_(bucket|sum|count)$", "", sample.name)
                if name in labels:
                    seen.add(name)
                    assert set(sample.labels) - {"le"} == labels[name], name
    # All of them have a value by now, but those that count what did not happen here, or not yet: notices take a moment.
    assert labels.keys() - seen <= {
        "printpost_job_attempt_failures_total",
        "printpost_directory_request_failures_total",
        "printpost_oldest_job_timestamp_seconds",
        "printpost_printer_state_reason",
        "printpost_notices_total",
        "printpost_outgoing_delivered_total",
        "printpost_outgoing_failures_total",
        "printpost_printer_poll_gap_seconds",
        "printpost_oldest_outgoing_timestamp_seconds",
        "printpost_jobs_held_total",
        "printpost_mail_authentication_total",
        "printpost_firewall_dropped_total",
    }


async def test_what_was_counted(scrapes: Scrapes) -> None:
    appliance, bridge = scrapes.appliance, scrapes.bridge
    assert appliance.value("printpost_jobs_received_total", printer="phaser") == 2
    assert appliance.value("printpost_jobs_received_total", printer="polls") == 1
    assert appliance.value("printpost_smtp_messages_accepted_total") == 3
    assert appliance.value("printpost_smtp_messages_rejected_total") == 1
    assert appliance.value("printpost_job_size_bytes_count") == 3
    assert appliance.value("printpost_pop3_auth_attempts_total") == 1
    assert appliance.value("printpost_pop3_auth_failures_total") == 0
    assert appliance.value("printpost_pop3_messages_retrieved_total") == 1
    assert appliance.value("printpost_pop3_messages_deleted_total") == 1
    assert appliance.value("printpost_pop3_retrieved_bytes_total") > len(mail_of(postscript()))
    assert appliance.value("printpost_printer_info", printer="phaser", transport="socket") == 1
    assert appliance.value("printpost_printer_poll_interval_seconds", printer="polls") == 300
    assert appliance.value("printpost_mailbox_messages") == 0
    assert bridge.value("printpost_jobs_completed_total", printer="phaser") == 1
    assert bridge.value("printpost_jobs_failed_total", printer="phaser", reason="document-password-error") == 1
    assert bridge.value("printpost_job_attempts_total", printer="phaser") == 1
    assert bridge.value("printpost_job_pages_total", printer="phaser") == 3
    assert bridge.value("printpost_job_sent_bytes_total", printer="phaser") > 1000
    assert bridge.value("printpost_job_duration_seconds_count") == 1
    for phase in ("queue", "convert", "send"):
        assert bridge.value("printpost_job_phase_duration_seconds_count", phase=phase) >= 1, phase


async def test_gauges_of_the_store_come_from_the_appliance_alone(scrapes: Scrapes) -> None:
    assert scrapes.appliance.families.keys() >= STORE_GAUGES
    assert not scrapes.bridge.families.keys() & STORE_GAUGES


@pytest.mark.parametrize("process", ["appliance", "bridge"])
async def test_promtool_finds_nothing_to_say(scrapes: Scrapes, process: str) -> None:
    text = getattr(scrapes, process).text
    done = await foreign("promtool", "check", "metrics", stdin=text.encode())
    assert (done.status, done.out, done.err) == (0, "", "")


async def test_both_are_alive_and_ready(scrapes: Scrapes) -> None:
    for where in (scrapes.house.metrics, scrapes.house.bridge_metrics):
        for page in ("livez", "readyz"):
            assert await scrapes.house.get(where, page) == (200, "ok\n")
        assert (await scrapes.house.get(where, "elsewhere"))[0] == 404


async def test_what_printers_say_of_themselves(scrapes: Scrapes) -> None:
    told = scrapes.appliance
    assert told.value("printpost_printer_up", printer="polls") == 1
    assert told.value("printpost_printer_last_status_timestamp_seconds", printer="polls") == 1000
    assert told.value("printpost_printer_supply_level_ratio", printer="polls", supply="Toner", color="black") == 0.5
    assert told.value("printpost_printer_input_level_ratio", printer="polls", tray="Tray 1") == 0.5
    assert told.value("printpost_printer_impressions_total", printer="polls") == 4711


async def test_what_is_not_out_yet_and_how_often_printers_poll(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with running_directory(tmp_path) as running:
        store = await open_store(tmp_path / "store", role=Role.TOOL, reserve=0, runtime=running.server.runtime)
        gauges = StoreGauges(store, running.appliance, registry)
        try:
            await gauges.refresh()
            idle = Metrics(generate_latest(registry).decode())
            for name, uri in (("polls", ""), ("fresh", ""), ("bridged", "socket://192.0.2.7:9100")):
                entry = Printer(name=name, addresses=(f"{name}@example.com",), uri=uri)
                await running.appliance.add(entry, None if uri else "secret")
            for at in (1000.0, 1060.0):
                await store.polled("polls", at)
                await store.polled("bridged", at)  # it polled before it got a device address
            await store.polled("fresh", 1060.0, clear=True)
            await store.set_paused("polls", True)
            await store.set_accepting("fresh", False)
            mail = OutgoingMail(recipient="ada@example.com", octets=b"Subject: x\r\n\r\n", job_id=0, expires_at=9e9)
            await store.tell([mail, mail], ())
            await gauges.refresh()
            busy = Metrics(generate_latest(registry).decode())
            oldest = (await store.outgoing()).oldest
        finally:
            gauges.close()
            await store.close()
    assert idle.value("printpost_outgoing_mails") == 0
    assert idle.families["printpost_oldest_outgoing_timestamp_seconds"].samples == []
    assert busy.value("printpost_outgoing_mails") == 2
    assert busy.value("printpost_oldest_outgoing_timestamp_seconds") == pytest.approx(oldest)
    gaps = busy.families["printpost_printer_poll_gap_seconds"].samples
    assert [(gap.labels["printer"], gap.value) for gap in gaps] == [("polls", 60.0)]
    clear = busy.families["printpost_printer_poll_clear"].samples
    assert {one.labels["printer"]: one.value for one in clear} == {"polls": 0, "fresh": 1}
    for name, enabled, accepting in (("polls", 0, 1), ("fresh", 1, 0), ("bridged", 1, 1)):
        assert busy.value("printpost_printer_enabled", printer=name) == enabled, name
        assert busy.value("printpost_printer_accepting_jobs", printer=name) == accepting, name
