"""A real Prometheus watches the real system at work: every panel and every rule finds data, and troubles are seen."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import poplib
import re
import shutil
import smtplib
import ssl
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mailstore.directory.records import Language
from mailstore.job import JobState
from mailstore.report import PrinterReport, Supply, Tray
from tests.dashboard import PROMETHEUS, Query, dashboard, named, queries
from tests.documents import damaged_pdf, pdf, postscript
from tests.house import GLANCE, PATIENCE, SECRET, House, free_ports, house, mail_of
from tests.sink import Peer, sink
from tests.test_bridge import virtual_printer

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
]
Sample = dict[str, Any]
GRACE = "grace"
ELSEWHERE = "service@elsewhere.example"
REPORT = PrinterReport(
    printer="hasty",
    asked_at=1000.0,
    answered_at=1000.0,
    pages=4711,
    supplies=(Supply(name="Toner", kind="toner", color="black", level=0.05),),
    trays=(Tray(name="Tray 1", media="a4", level=0.5),),
)
MISTAKES = 3
"""Wrong passwords at the page, which soon takes no more of them."""


class Watched:
    """The system, and the Prometheus that scrapes it."""

    def __init__(self, system: House, port: int) -> None:
        self.system = system
        self._address = ("127.0.0.1", port)

    async def get(self, page: str, **query: str) -> tuple[int, str]:
        return await self.system.get(self._address, f"{page}?{urllib.parse.urlencode(query)}")

    async def ask(self, expr: str) -> list[Sample]:
        """What an instant query finds; it must be one that Prometheus can read."""
        status, text = await self.get("api/v1/query", query=expr)
        assert status == 200, text
        found: list[Sample] = json.loads(text)["data"]["result"]
        return found

    async def found(self, expr: str) -> list[Sample]:
        """The same, once it finds a number."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    samples = await self.ask(expr)
                    if any(sample["value"][1] != "NaN" for sample in samples):
                        return samples
                    await asyncio.sleep(5 * GLANCE)
        except TimeoutError:
            raise AssertionError(f"no data for {expr}\n{self.system.logs()}") from None

    async def rules(self) -> list[dict[str, Any]]:
        _, text = await self.get("api/v1/rules")
        return [rule for group in json.loads(text)["data"]["groups"] for rule in group["rules"]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")

    async def break_off(peer: Peer) -> None:
        await peer.take(1000)
        peer.reset()

    async with contextlib.AsyncExitStack() as stack:
        system = await stack.enter_async_context(house(folder / "system"))
        good = await stack.enter_async_context(sink())
        bad = await stack.enter_async_context(sink(break_off))
        made = await system.printpost("user", "add", GRACE, "--administrator", "--password-stdin", stdin=SECRET)
        assert made.status == 0, made.err
        await system.add("works", good.uri, Language.POSTSCRIPT, service_person=(f"{GRACE}@example.com",))
        await system.add("breaks", bad.uri, service_person=(ELSEWHERE,))  # no smarthost: what he is told has to wait
        await system.add("gone", "socket://240.0.0.1:9100")  # nobody's; one that refuses may be busy, for a minute
        _, empty = await stack.enter_async_context(virtual_printer(folder / "paper", "media-empty"))
        await system.add("empty", empty, pjl=True)
        await system.add("polls", plain_from=("127.0.0.0/8",), poll_interval=1)
        await system.add("hasty", plain_from=("127.0.0.0/8",), poll_interval=3600)
        await system.store.set_report(REPORT)  # of a printer that the bridge does not ask, so it stays
        port = await stack.enter_async_context(prometheus(folder / "prometheus", system))
        uncertain = await system.mail("breaks", postscript() + b"%" * 300_000)
        await system.mail("gone", postscript())
        await system.mail("empty", postscript())
        await system.job(uncertain, JobState.PROCESSING_STOPPED)
        working = asyncio.create_task(work(system))
        try:
            yield Watched(system, port)
        finally:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working


@contextlib.asynccontextmanager
async def prometheus(folder: Path, system: House) -> AsyncIterator[int]:
    """One with our configuration, but for the targets, the haste and its place; its port."""
    configuration = configured(folder, system)
    (port,) = free_ports(1)
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "TERM", "--", "prometheus", f"--config.file={configuration}"),
            *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        async with asyncio.timeout(PATIENCE):
            while not await answers(system, port):
                assert process.returncode is None, (folder / "log").read_text()
                await asyncio.sleep(5 * GLANCE)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def configured(folder: Path, system: House) -> Path:
    folder.mkdir()
    shutil.copy(PROMETHEUS / "rules.yml", folder)
    text = (PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8")
    for shipped, here in (
        ("127.0.0.1:9125", "{}:{}".format(*system.metrics)),
        ("127.0.0.1:9126", "{}:{}".format(*system.bridge_metrics)),
        ("_interval: 15s", "_interval: 1s"),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    written = folder / "prometheus.yml"
    written.write_text(text, encoding="utf-8")
    return written


async def answers(system: House, port: int) -> bool:
    with contextlib.suppress(OSError):
        return (await system.get(("127.0.0.1", port), "-/ready"))[0] == 200
    return False


async def work(system: House) -> None:
    """A little of everything, again and again: printed, converted, damaged, refused, fetched, told, logged in."""
    tls = ssl.create_default_context(cafile=system.data / "tls" / "certificate.pem")
    for turn in itertools.count():
        await system.jobs(await system.mail("works", pdf()), await system.mail("works", damaged_pdf()))
        code, _ = await system.submit(mail_of(postscript()), "works", sender="eve@elsewhere.example")
        assert code == 550
        await system.mail("polls", postscript())
        await asyncio.to_thread(poll, system.pop3, "polls", "wrong")
        await asyncio.to_thread(poll, system.pop3, "polls", SECRET)
        await asyncio.to_thread(poll, system.pop3, "hasty", SECRET)
        await asyncio.to_thread(poll, system.pop3, GRACE, SECRET)
        await asyncio.to_thread(submit, system.listen["submission"], tls)
        for password in ("wrong", SECRET) if turn < MISTAKES else (SECRET,):
            await asyncio.to_thread(log_in, system.listen["web"], password)


def poll(address: tuple[str, int], name: str, password: str) -> None:
    """Take all mail, or be told why not."""
    expected = "LOGIN-DELAY" if password == SECRET else "AUTH"
    client = poplib.POP3(*address, timeout=PATIENCE)
    try:
        client.user(name)
        client.pass_(password)
        for number in range(1, client.stat()[0] + 1):
            client.retr(number)
            client.dele(number)
        client.quit()
    except poplib.error_proto as refused:
        if expected not in str(refused):
            raise
        client.close()


def submit(address: tuple[str, int], tls: ssl.SSLContext) -> None:
    """A wrong password, then the right one."""
    with smtplib.SMTP(*address, timeout=PATIENCE) as client:
        client.starttls(context=tls)
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(GRACE, "wrong")
        client.login(GRACE, SECRET)


def log_in(address: tuple[str, int], password: str) -> None:
    client = http.client.HTTPConnection(*address, timeout=PATIENCE)
    headers = {"Origin": "http://{}:{}".format(*address), "Content-Type": "application/x-www-form-urlencoded"}
    client.request("POST", "/login", urllib.parse.urlencode({"name": GRACE, "password": password}), headers)
    answer = client.getresponse()
    assert answer.status == (303 if password == SECRET else 403), answer.read()
    client.close()


@pytest.mark.parametrize("query", queries(), ids=lambda query: f"{query.panel}: {query.expr}")
async def test_a_panel_has_data(watched: Watched, query: Query) -> None:
    await watched.found(query.filled_in)


async def test_the_choices_above_the_dashboard_have_data(watched: Watched) -> None:
    for variable in dashboard()["templating"]["list"][1:]:
        series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()  # type: ignore[union-attr]
        found = await watched.found(Query(panel="", expr=series).filled_in)
        assert {label} <= set().union(*(sample["metric"] for sample in found))


async def test_each_rule_is_evaluated_on_data(watched: Watched) -> None:
    rules = await watched.rules()
    async with asyncio.timeout(PATIENCE):
        while any(rule["health"] == "unknown" for rule in rules):
            await asyncio.sleep(5 * GLANCE)
            rules = await watched.rules()
    assert len(rules) > 10
    for rule in rules:
        assert rule["health"] == "ok", rule
        for name, _ in named(rule["query"]):
            await watched.found(name)


@pytest.mark.parametrize(
    "expr",
    [
        'sum(rate(printpost_jobs_received_total{printer="works"}[20s]))',
        'rate(printpost_jobs_completed_total{printer="works"}[20s])',
        'rate(printpost_job_pages_total{printer="works"}[20s])',
        'rate(printpost_job_sent_bytes_total{printer="works"}[20s])',
        'rate(printpost_jobs_failed_total{printer="works", reason="document-format-error"}[20s])',
        "rate(printpost_smtp_received_bytes_total[20s])",
        "rate(printpost_pop3_messages_deleted_total[20s])",
        "rate(printpost_pop3_auth_failures_total[20s])",
        'rate(printpost_smtp_messages_rejected_total{reason="not-allowed"}[20s])',
        'rate(printpost_job_phase_duration_seconds_count{phase="convert"}[20s])',
        "rate(printpost_smtp_auth_attempts_total[20s])",
        "rate(printpost_smtp_auth_failures_total[20s])",
        "rate(printpost_smtp_tls_connections_total[20s])",
        "rate(printpost_web_auth_attempts_total[20s])",
        "increase(printpost_web_auth_failures_total[5m])",
        "rate(printpost_pop3_logins_delayed_total[20s])",
        'rate(printpost_notices_total{kind="aborted"}[20s])',
        'rate(printpost_outgoing_delivered_total{way="maildrop"}[20s])',
        'printpost_outgoing_failures_total{result="deferred"}',
        "printpost_outgoing_mails",
        'printpost_printer_poll_gap_seconds{printer="polls"}',
        "(printpost_tls_certificate_not_after_timestamp_seconds - time()) / 86400 > 390",
        "rate(printpost_event_loop_lag_seconds_count[20s]) > 2",
        "printpost_spool_bytes > 1e6",
    ],
)
async def test_what_moves_is_seen_moving(watched: Watched, expr: str) -> None:
    await watched.found(f"({expr}) > 0")


async def test_what_is_wrong_is_seen(watched: Watched) -> None:
    """The alerts come after their delays (promtool tests those); that they are on their way can be seen at once."""
    for expr in (
        'ALERTS{alertname="PrintpostPrinterStopped", printer="gone", reason="connecting-to-device"}',
        'ALERTS{alertname="PrintpostPrinterNeedsHand", printer="empty", reason="media-empty"}',
        'ALERTS{alertname="PrintpostUncertainJob", printer="breaks"}',
        'ALERTS{alertname="PrintpostSupplyLow", printer="hasty", supply="Toner"}',
        'ALERTS{alertname="PrintpostJobFailures", printer="works"}',
        'printpost_printer_state{printer="gone", state="stopped"} == 1',
    ):
        await watched.found(expr)
    assert await watched.ask('ALERTS{printer="polls"}') == []
    assert await watched.ask('ALERTS{alertname="PrintpostPrinterStopped", printer!="gone"}') == []
    assert await watched.ask('ALERTS{alertname="PrintpostPrinterNeedsHand", printer!="empty"}') == []
    assert await watched.ask('ALERTS{printer="works", alertname!="PrintpostJobFailures"}') == []
    silent = "Absent|Restarting|CertificateExpiring|NoticesStuck|NoticesLost"
    assert await watched.ask(f'ALERTS{{alertname=~"Printpost({silent})"}}') == []


async def test_prometheus_knows_what_the_store_knows(watched: Watched) -> None:
    system = watched.system
    waiting = {row.printer: sum(row.states.values()) for row in await system.store.waiting()}
    found = await watched.found('sum by (printer) (printpost_jobs{printer=~"breaks|gone"})')
    assert {one["metric"]["printer"]: float(one["value"][1]) for one in found} == {
        "breaks": waiting["breaks"],
        "gone": waiting["gone"],
    }
    (poll,) = await watched.found('time() - printpost_printer_last_poll_timestamp_seconds{printer="polls"}')
    assert 0 <= float(poll["value"][1]) < PATIENCE
