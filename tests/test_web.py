"""The page as strangers and browsers meet it: walls, headers, live changes, and what it shows."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from fastapi.routing import APIRoute

from appliance.web import guard, live, login, release
from appliance.web.app import PAGES
from appliance.web.guard import BODY_OCTETS, HEADERS, foreign, wrong_host
from appliance.web.live import EVERYTHING, LISTENERS, PER_PERSON, Full, Listener, Live
from mailstore import handshake, monitoring
from mailstore.directory.records import Printer
from mailstore.store.contract import Role
from mailstore.store.sql import open_store
from tests.directory_server import short_folder
from tests.web_house import ADA_NAME, ADA_PASSWORD, PRINTER, WebHouse, closed, web_house

POLLING = Printer(name="cellar", addresses=("cellar@example.com",), location="B <1>", allow=("@example.com",))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[WebHouse]:
    async with web_house(tmp_path, PRINTER, POLLING) as running:
        yield running


def routes() -> list[tuple[str, str]]:
    """Method and path of every route, with something in each gap."""
    values = {"name": "office", "number": "1", "wish": "pause", "document": "1", "page": "1"}
    found = []
    for router in (login.router, release.router, *PAGES):
        for route in router.routes:
            assert isinstance(route, APIRoute)
            path = re.sub(r"\{(\w+)(:\w+)?\}", lambda gap: values[gap[1]], route.path)
            found += [(method, path) for method in sorted(route.methods or ())]
    assert len(found) > 40
    return found


# -- every route


async def test_everything_but_the_login_is_behind_it(house: WebHouse) -> None:
    async with house.stranger() as client:
        for method, path in routes():
            answer = await client.request(method, path)
            if path in ("/login", "/logout", "/release", "/release/now"):
                continue
            if path.startswith("/api/"):
                assert (answer.status_code, answer.json()["status"]) == (401, 401), (method, path)
            else:
                assert answer.status_code == 303, (method, path, answer.status_code)
                assert answer.headers["location"].startswith("/login"), (method, path)
        answer = await client.get("/people", headers={"HX-Request": "true"})
        assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login")


async def test_every_answer_carries_the_walls(house: WebHouse) -> None:
    async with house.browser() as client:
        gets = [path for method, path in routes() if method == "GET" and path != "/live"]
        for path in (*gets, "/static/page.css", "/static/nothing", "/nothing", "/login"):
            answer = await client.get(path)
            assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, path
            assert "server" not in answer.headers
            assert "strict-transport-security" not in answer.headers
            cache = answer.headers["cache-control"]
            assert cache == ("public, max-age=86400" if path == "/static/page.css" else "no-store"), path
            for word in ("<script>", "onclick=", "style=", "javascript:", "hx-on"):
                assert word not in answer.text, (path, word)


async def test_no_unsafe_route_is_used_from_another_site(house: WebHouse) -> None:
    async with house.browser() as client:
        unsafe = [(method, path) for method, path in routes() if method != "GET"]
        assert len(unsafe) > 5
        for method, path in unsafe:
            answer = await client.request(method, path, headers={"Sec-Fetch-Site": "cross-site"})
            assert answer.status_code == 403, (method, path)
            assert "does not come from this page itself" in answer.text
        assert (await client.get("/")).status_code == 200  # not even logged out


async def test_others_do_not_administer(house: WebHouse) -> None:
    async with house.browser(ADA_NAME, ADA_PASSWORD) as client:
        for method, path in routes():
            if path.startswith(("/people", "/add-person")):
                assert (await client.request(method, path)).status_code == 403, (method, path)


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://printers.example.com:8025"}, False),
        ({"sec-fetch-site": "something new"}, False),
        ({"origin": "http://printers.example.com:8025"}, True),
        ({"origin": "HTTP://Printers.example.com:8025"}, True),
        ({"origin": "https://printers.example.com:8025"}, False),
        ({"origin": "http://printers.example.com"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({}, False),
        ({"authorization": "Basic x"}, False),
    ],
)
def test_whose_request_it_is(headers: dict[str, str], own: bool) -> None:
    headers = {"host": "printers.example.com:8025", **headers}
    assert (foreign("POST", "/logout", headers, "http") == "") is own
    assert foreign("GET", "/", headers, "http") == ""


def test_a_script_at_the_api_needs_no_page() -> None:
    script = {"host": "localhost", "authorization": "Basic x"}
    assert foreign("POST", "/api/v1/printers", script, "http") == ""
    assert foreign("POST", "/api/v1/printers", {"host": "localhost"}, "http")
    assert foreign("POST", "/api/v1/printers", {**script, "cookie": "printpost=1"}, "http")
    assert foreign("POST", "/api/v1/printers", {**script, "sec-fetch-site": "cross-site"}, "http")
    assert foreign("POST", "/api/v1/printers", {**script, "origin": "http://evil.example"}, "http")


NAMES = frozenset({"mail.example.com", "printers.example.com"})


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8025", "LOCALHOST", "127.0.0.1:8025", "[::1]:8025", "[::1]", "192.0.2.1"),
        *("mail.example.com", "Mail.Example.com.:8025", "printers.example.com:443"),
    ],
)
def test_names_that_are_ours(host: str) -> None:
    assert wrong_host(host, NAMES) == ""


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8025", "mail.example.com.evil.example", "localhost.evil.example", "", None]
)
def test_names_that_are_not_ours(host: str | None) -> None:
    assert wrong_host(host, NAMES)


async def test_a_name_that_is_not_ours_says_what_to_do(house: WebHouse) -> None:
    answer = await house.client.get("/login", headers={"Host": "rebound.example:8025"})
    assert answer.status_code == 421
    assert answer.text == (
        "'rebound.example' is not a name of this page; if it should be, add it to [web] names in printpost.toml.\n"
    )
    for name in ("mail.example.com", "example.com", "printers.example.com", "localhost:1"):
        assert (await house.client.get("/login", headers={"Host": name})).status_code == 200


# -- bounds


async def test_a_body_that_is_too_large_is_refused(house: WebHouse) -> None:
    async with house.browser() as client:
        answer = await client.post("/add-person", data={"name": "x" * BODY_OCTETS})
        assert answer.status_code == 413
        assert answer.text == f"The request is too large; at most {BODY_OCTETS} octets are taken.\n"
        with contextlib.suppress(httpx2.TransportError):  # it is cut off while it still sends, or reads the answer
            answer = await client.post("/add-person", content=b"x" * (8 << 20))
            assert answer.status_code == 413
        assert (await client.post("/add-person", data={"name": "x" * 30000})).status_code == 422


async def raw(house: WebHouse) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*house.web.address)


async def cut_off(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the other side ends the connection."""
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("octets", [b"", b"GET / HT", b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\nGET /"])
async def test_a_request_that_never_ends_is_not_waited_for(
    house: WebHouse, monkeypatch: pytest.MonkeyPatch, octets: bytes
) -> None:
    monkeypatch.setattr(monitoring, "HEADER_SECONDS", 0.3)
    reader, writer = await raw(house)
    writer.write(octets)
    await cut_off(reader)
    writer.close()


async def test_a_body_that_never_ends_is_not_waited_for(house: WebHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.2)
    reader, writer = await raw(house)
    head = "POST /login HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 99\r\n\r\nname="
    writer.write(head.encode())
    assert b" 408 " in await cut_off(reader)
    writer.close()


async def test_an_answer_that_is_not_read_is_not_kept(house: WebHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "READING_SECONDS", 0.3)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(house.web.address)
        client.setblocking(False)
        asked = b"GET /static/htmx.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                await loop.sock_sendall(client, asked)
                for _ in itertools.repeat(None):  # until our side of it is cut off
                    await loop.sock_sendall(client, b"G")
                    await asyncio.sleep(0.02)


async def test_a_header_that_is_too_long_is_refused(house: WebHouse) -> None:
    reader, writer = await raw(house)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (monitoring.HEADER_OCTETS + 100))
    assert (await cut_off(reader)).startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    writer.close()


# -- HTTPS


async def test_off_loopback_the_page_speaks_https_alone(tmp_path: Path) -> None:
    async with web_house(tmp_path, listen="0.0.0.0:0") as house:
        assert house.web.url == f"https://mail.example.com:{house.web.address[1]}/"
        own = f"https://localhost:{house.web.address[1]}"
        async with house.stranger() as client:
            client.base_url = httpx2.URL(own)
            answer = await client.post("/login", data={"name": ADA_NAME, "password": ADA_PASSWORD})
            name, *attributes = answer.headers["set-cookie"].split("; ")
            assert name.startswith("__Host-printpost=")
            assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} < set(attributes)
            assert "strict-transport-security" not in answer.headers  # nobody vouches for the certificate
            assert (await client.get("/")).status_code == 200
            origin = {"Origin": own}
            async with httpx2.AsyncClient(base_url=own, verify=house.trust(), headers=origin) as older:
                assert (await older.post("/login", data={})).status_code == 422
        reader, writer = await raw(house)
        writer.write(b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await writer.drain()
        writer.write_eof()
        told = await cut_off(reader)
        assert told.startswith(b"HTTP/1.1 400 ")
        assert told.endswith(b"\r\n\r\nThis is an HTTPS port: write https:// instead of http:// before its name.\n")
        writer.close()


async def test_handshakes_that_are_not_begun_are_bounded_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitoring, "CONNECTIONS", 20)
    async with web_house(tmp_path, listen="0.0.0.0:0") as house:
        silent = [await raw(house) for _ in range(15)]
        silent[0][1].write(b"\x16\x03\x01")  # a handshake that stops there
        async with house.stranger() as client:
            client.base_url = httpx2.URL(f"https://localhost:{house.web.address[1]}")
            assert (await client.get("/login")).status_code == 200
            more = [await raw(house) for _ in range(10)]
            ended = await asyncio.gather(*(cut_off(reader) for reader, _ in more[5:]))
            assert ended == [b""] * 5, "there is no place for these"
            began = time.monotonic()
        assert await closed(house.web, 5.0) < 2.5
        for reader, _ in silent:
            await cut_off(reader)
        assert time.monotonic() - began < 5
        for _, writer in silent + more:
            writer.close()


async def test_a_handshake_has_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "SECONDS", 0.2)
    async with web_house(tmp_path, listen="0.0.0.0:0") as house:
        for octets in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"):
            reader, writer = await raw(house)
            writer.write(octets)
            assert await cut_off(reader) == b""
            writer.close()


# -- live


@contextlib.asynccontextmanager
async def events(client: httpx2.AsyncClient) -> AsyncIterator[AsyncIterator[tuple[str, object]]]:
    """The events of the stream, as name and data; it is open when this begins."""

    async def read(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, object]]:
        name = ""
        async for line in lines:
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: ") or "null")

    async with client.stream("GET", "/live") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith("retry:")
        yield read(lines)


async def test_a_job_that_comes_is_told_to_whoever_looks(house: WebHouse) -> None:
    async with house.browser() as client, house.browser(ADA_NAME, ADA_PASSWORD) as other:
        async with events(client) as told, events(other) as told_too:
            for stream in (told, told_too):
                assert await anext(stream) == ("changed", [EVERYTHING])
            await house.mail()
            async with asyncio.timeout(10):
                assert await anext(told) == ("changed", ["office"])
                assert await anext(told_too) == ("changed", ["office"])
            await house.store.set_paused("cellar", paused=True)
            async with asyncio.timeout(10):
                assert await anext(told) == ("changed", ["cellar"])
            await house.changed()
            async with asyncio.timeout(10):
                assert await anext(told) == ("changed", [EVERYTHING])
        async with asyncio.timeout(5):
            while house.web.site.live.looking:  # noqa: ASYNC110 - nobody listens: nobody looks
                await asyncio.sleep(0.01)


async def test_a_stream_ends_with_its_session(house: WebHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HEARTBEAT", 0.1)
    async with house.browser() as client, events(client) as told:
        await client.post("/logout")
        async with asyncio.timeout(10):
            assert await anext(told) == ("changed", [EVERYTHING])
            assert await anext(told) == ("over", None)
            assert [event async for event in told] == []


async def test_closing_does_not_wait_for_streams(house: WebHouse) -> None:
    async with house.browser() as client, events(client) as told:
        assert await anext(told) == ("changed", [EVERYTHING])
        assert await closed(house.web, 20.0) < 2.0
        assert [event async for event in told] == []


async def test_closing_does_not_wait_for_clients_that_do_not_take_their_leave(tmp_path: Path) -> None:
    async with web_house(tmp_path, listen="0.0.0.0:0") as house, house.stranger() as client:
        client.base_url = httpx2.URL(f"https://localhost:{house.web.address[1]}")
        await client.post("/login", data={"name": ADA_NAME, "password": ADA_PASSWORD})
        async with events(client) as told:  # under TLS each side waits for the other's last word
            assert await anext(told) == ("changed", [EVERYTHING])
            assert await closed(house.web, 20.0) < 2.5


async def test_closing_does_not_wait_for_ever(house: WebHouse) -> None:
    reader, writer = await raw(house)
    head = "POST /login HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 99\r\n\r\nname="
    writer.write(head.encode())
    await writer.drain()
    assert (await house.client.get("/login")).status_code == 200  # by now the other one is in the house, too
    assert await closed(house.web, 0.2) < 2.0
    await cut_off(reader)
    writer.close()


async def test_listeners_are_bounded(tmp_path: Path) -> None:
    async def still() -> bool:
        return True

    with short_folder() as short:
        store = await open_store(tmp_path, role=Role.APPLIANCE, runtime=short)
        broadcaster = Live(store)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(store.close)
            stack.push_async_callback(broadcaster.close)
            late = [broadcaster.stream("ada", still) for _ in range(PER_PERSON + 1)]
            streams = [broadcaster.stream("user0", still) for _ in range(PER_PERSON)]
            for stream in streams:
                await anext(stream)
            with pytest.raises(Full):
                broadcaster.stream("user0", still)
            told = [await anext(stream, None) for stream in late]
            assert told == [b"retry: 3000\n\n"] * PER_PERSON + [None], "all of them asked before one of them began"
            streams += [broadcaster.stream(f"other{number}", still) for number in range(LISTENERS - 2 * PER_PERSON)]
            for stream in streams[PER_PERSON:]:
                await anext(stream)
            with pytest.raises(Full):
                broadcaster.stream("grace", still)
            await streams[0].aclose()
            await anext(broadcaster.stream("grace", still))


async def test_what_a_slow_listener_has_not_heard_is_bounded() -> None:
    listener = Listener()
    listener.tell({"office", "cellar"})
    assert await listener.heard(1) == ["cellar", "office"]
    assert await listener.heard(0.01) == []
    for number in range(1000):
        listener.tell({f"printer{number}"})
    heard = await listener.heard(1)
    assert EVERYTHING in heard
    assert len(heard) <= 65


# -- what it stands on


def test_small_answers_go_out_at_once() -> None:
    with monitoring.bind("127.0.0.1:0", "[web] listen") as listener:
        assert listener.proto == socket.IPPROTO_TCP  # for any other one asyncio leaves Nagle's algorithm on: 40 ms
