"""The probes, asked as Prometheus and a container would ask."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
import structlog
from prometheus_client import Counter
from prometheus_client.registry import REGISTRY

from mailstore import logs, monitoring
from mailstore.failure import PermanentFailure
from mailstore.notify import notify

PULSE = Counter("printpost_test_pulse_total", "A metric of this test.")


async def always_ready() -> str:
    return ""


def get(address: tuple[str, int], path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address[0]}:{address[1]}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def test_the_three_pages() -> None:
    scrapes = []

    async def before_scrape() -> None:
        scrapes.append(1)

    async with monitoring.monitor("127.0.0.1:0", "[metrics] listen", always_ready, before_scrape) as address:
        PULSE.inc()
        status, text = await asyncio.to_thread(get, address, "/metrics")
        assert status == 200
        assert "printpost_test_pulse_total 1.0" in text
        assert scrapes == [1]
        assert await asyncio.to_thread(get, address, "/livez") == (200, "ok\n")
        assert await asyncio.to_thread(get, address, "/readyz") == (200, "ok\n")
        assert (await asyncio.to_thread(get, address, "/else"))[0] == 404
    with pytest.raises(OSError):
        await asyncio.to_thread(get, address, "/livez")


async def test_not_ready_says_why() -> None:
    async def stopping() -> str:
        return "stopping"

    async with monitoring.monitor("127.0.0.1:0", "[metrics] listen", stopping) as address:
        assert await asyncio.to_thread(get, address, "/readyz") == (503, "stopping\n")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
async def test_promtool_likes_the_text() -> None:
    async with monitoring.monitor("127.0.0.1:0", "[metrics] listen", always_ready) as address:
        _, text = await asyncio.to_thread(get, address, "/metrics")
    checked = await asyncio.to_thread(
        subprocess.run, ["promtool", "check", "metrics"], input=text, text=True, capture_output=True, timeout=30
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_taken_port_says_which_option_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            PermanentFailure, match=r"\[smtp\] listen = 127\.0\.0\.1:\d+ cannot be used \(Address already in use\)"
        ):
            monitoring.bind(listen, "[smtp] listen")


def test_a_host_that_is_not_ours_says_so() -> None:
    with pytest.raises(PermanentFailure, match=r"\[smtp\] listen"):
        monitoring.bind("192.0.2.1:0", "[smtp] listen")


@pytest.mark.parametrize("abstract", [False, True])
def test_readiness_is_told_to_whoever_asked(abstract: bool, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    path = "@printpost-test-notify" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path.replace("@", "\0", 1))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        notify("READY=1")
        assert listener.recv(100) == b"READY=1"


def test_readiness_that_nobody_asked_for_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent/socket")
    notify("READY=1")


async def test_a_loop_that_is_held_up_is_seen() -> None:
    def late() -> float:
        counts = {
            bound: REGISTRY.get_sample_value("printpost_event_loop_lag_seconds_bucket", {"le": bound}) or 0
            for bound in ("0.1", "+Inf")
        }
        return counts["+Inf"] - counts["0.1"]

    async with monitoring.monitor("127.0.0.1:0", "[metrics] listen", always_ready) as address:
        before = late()
        await asyncio.sleep(0)  # the timer is set
        time.sleep(0.5)  # noqa: ASYNC251 - what must not be done
        _, text = await asyncio.to_thread(get, address, "/metrics")
        assert late() == before + 1
    version = importlib.metadata.version("printpost")
    assert 'printpost_build_info{python="' in text
    assert f'version="{version}"}} 1.0' in text


def test_lines_of_the_log_are_counted_whoever_writes_them(capsys: pytest.CaptureFixture[str]) -> None:
    def count(level: str) -> float:
        return REGISTRY.get_sample_value("printpost_log_messages_total", {"level": level}) or 0

    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        logs.configure("test")
        before = {name: count(name) for name in ("info", "warning", "error")}
        structlog.get_logger("ours").warning("of structlog")
        logging.getLogger("foreign").error("of the standard library")
        structlog.get_logger("ours").debug("below the level")
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
    assert "of structlog" in capsys.readouterr().err
    assert {name: count(name) - before[name] for name in before} == {"info": 0, "warning": 1, "error": 1}
