"""The senders of the benchmarks, in a process of their own: each sends the same mail again and again.

    python -m tests.benchmarks.load PORT MAIL --to ADDRESS... --senders N --mails N [--keep] [--pause SECONDS]

MAIL is a file, dot-stuffed already.  Without `--keep` every mail has a connection of its own.  Commands are pipelined
where the server offers it, as mail servers do.  It prints one line of JSON: when the first mail began and, of every
mail, when its last octet was accepted (CLOCK_MONOTONIC) and how many seconds lay between the first octet of data and
that.  A mail that is not accepted ends it with an error.
"""

from __future__ import annotations

import argparse
import itertools
import json
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SENDER = "ada@example.com"
DEADLINE = 120.0


class Session:
    """One connection, greeted."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._input = b""
        self._expect(b"220")
        self._socket.sendall(b"EHLO client.example.com\r\n")
        self._pipelining = b"PIPELINING" in self._expect(b"250")

    def _expect(self, code: bytes) -> bytes:
        """The next reply, all its lines."""
        lines = []
        while True:
            while (end := self._input.find(b"\r\n")) < 0:
                octets = self._socket.recv(65536)
                if not octets:
                    raise ConnectionError("the server closed the connection")
                self._input += octets
            line, self._input = self._input[:end], self._input[end + 2 :]
            lines.append(line)
            if line[3:4] != b"-":
                break
        if not line.startswith(code):
            raise RuntimeError(f"{code.decode()} was due, this came: {line.decode(errors='replace')}")
        return b"\r\n".join(lines)

    def mail(self, recipient: str, message: bytes) -> tuple[float, float]:
        """Send one; when it was accepted, and how long its data took."""
        commands = [f"MAIL FROM:<{SENDER}> SIZE={len(message)}", f"RCPT TO:<{recipient}>", "DATA"]
        codes = [b"250", b"250", b"354"]
        if self._pipelining:
            self._socket.sendall("".join(f"{command}\r\n" for command in commands).encode())
            for code in codes:
                self._expect(code)
        else:
            for command, code in zip(commands, codes, strict=True):
                self._socket.sendall(f"{command}\r\n".encode())
                self._expect(code)
        began = time.monotonic()
        self._socket.sendall(message)
        self._expect(b"250")
        accepted = time.monotonic()
        return accepted, accepted - began

    def quit(self) -> None:
        self._socket.sendall(b"QUIT\r\n")
        self._expect(b"221")
        self._socket.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("mail", type=Path)
    parser.add_argument("--to", nargs="+", required=True)
    parser.add_argument("--senders", type=int, required=True)
    parser.add_argument("--mails", type=int, required=True)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--pause", type=float, default=0.0)
    wanted = parser.parse_args()
    message = wanted.mail.read_bytes() + b".\r\n"
    numbers, lock = itertools.count(), threading.Lock()

    def send() -> list[tuple[float, float]]:
        done: list[tuple[float, float]] = []
        session: Session | None = None
        while True:
            with lock:
                number = next(numbers)
            if number >= wanted.mails:
                break
            session = session or Session(wanted.port)
            done.append(session.mail(wanted.to[number % len(wanted.to)], message))
            if not wanted.keep:
                session.quit()
                session = None
            if wanted.pause:
                time.sleep(wanted.pause)
        if session is not None:
            session.quit()
        return done

    began = time.monotonic()
    with ThreadPoolExecutor(wanted.senders) as pool:
        senders = [pool.submit(send) for _ in range(wanted.senders)]
        mails = sorted(mail for sender in senders for mail in sender.result())
    json.dump({"began": began, "mails": mails}, sys.stdout)


if __name__ == "__main__":
    main()
