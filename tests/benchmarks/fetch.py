"""The POP3 clients of the benchmarks, in a process of their own.

    python -m tests.benchmarks.fetch drain|list|poll PORT PASSWORD NAME... [--window N] [--sessions N] [--clients N]

`drain` fetches and deletes all that lies in a maildrop, with so many RETR under way at once; `list` logs in and asks
for STAT and UIDL; `poll` logs in to one maildrop after the other, asks for STAT and leaves, with several clients.  It
prints one line of JSON: the seconds from the first connection to the last answer, and the messages and octets.
"""

from __future__ import annotations

import argparse
import itertools
import json
import socket
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

DEADLINE = 120.0
_END = b"\r\n.\r\n"


class Session:
    """One connection, logged in."""

    def __init__(self, port: int, name: str, password: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._input = bytearray()
        self.line()
        for command in (f"USER {name}", f"PASS {password}"):
            self.ask(command)

    def _more(self) -> None:
        octets = self._socket.recv(1 << 18)
        if not octets:
            raise ConnectionError("the server closed the connection")
        self._input += octets

    def send(self, *commands: str) -> None:
        self._socket.sendall("".join(f"{command}\r\n" for command in commands).encode())

    def line(self) -> str:
        """A reply's first line, which must be +OK."""
        while (end := self._input.find(b"\r\n")) < 0:
            self._more()
        line = self._input[:end].decode()
        del self._input[: end + 2]
        if not line.startswith("+OK"):
            raise RuntimeError(f"+OK was due, this came: {line}")
        return line

    def ask(self, command: str) -> str:
        self.send(command)
        return self.line()

    def lines(self) -> int:
        """Swallow the rest of a multi-line reply that is not empty; how many octets, stuffed and without its end."""
        looked = 0
        while (end := self._input.find(_END, looked)) < 0:
            looked = max(0, len(self._input) - len(_END))
            self._more()
        del self._input[: end + len(_END)]
        return end + 2

    def quit(self) -> None:
        self.ask("QUIT")
        self._socket.close()


def drain(port: int, name: str, password: str, window: int) -> tuple[int, int]:
    session = Session(port, name, password)
    count = int(session.ask("STAT").split()[1])
    octets, asked = 0, 0
    for number in range(1, count + 1):
        while asked < min(count, number + window - 1):
            asked += 1
            session.send(f"RETR {asked}", f"DELE {asked}")
        session.line()
        octets += session.lines()
        session.line()
    session.quit()
    return count, octets


def listed(port: int, name: str, password: str) -> tuple[int, int]:
    session = Session(port, name, password)
    count = int(session.ask("STAT").split()[1])
    session.ask("UIDL")
    octets = session.lines()
    session.quit()
    return count, octets


def poll(port: int, names: Sequence[str], password: str, sessions: int, clients: int) -> tuple[int, int]:
    """Each client has maildrops of its own, for a maildrop has one session at a time."""

    def again(client: int) -> int:
        own = itertools.cycle(names[client::clients])
        turns = range(client, sessions, clients)
        for _, name in zip(turns, own, strict=False):
            session = Session(port, name, password)
            session.ask("STAT")
            session.quit()
        return len(turns)

    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(again, range(clients))), 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("drain", "list", "poll"))
    parser.add_argument("port", type=int)
    parser.add_argument("password")
    parser.add_argument("names", nargs="+")
    parser.add_argument("--window", type=int, default=1)
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--clients", type=int, default=1)
    wanted = parser.parse_args()
    began = time.monotonic()
    if wanted.what == "drain":
        messages, octets = drain(wanted.port, wanted.names[0], wanted.password, wanted.window)
    elif wanted.what == "list":
        messages, octets = listed(wanted.port, wanted.names[0], wanted.password)
    else:
        messages, octets = poll(wanted.port, wanted.names, wanted.password, wanted.sessions, wanted.clients)
    json.dump({"seconds": time.monotonic() - began, "messages": messages, "octets": octets}, sys.stdout)


if __name__ == "__main__":
    main()
