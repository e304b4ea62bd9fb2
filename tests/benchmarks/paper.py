"""The printers of the benchmarks, in a process of their own: ports that swallow jobs as fast as they come.

    python -m tests.benchmarks.paper COUNT

It prints the ports in a line, then a line for each job: the printer's number, its octets, and when its first octet
and its end came (CLOCK_MONOTONIC, which all processes of a machine share).  It ends with its standard input.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time

BUFFER = 256 << 10


def listen() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    return listener


def swallow(number: int, listener: socket.socket) -> None:
    """One printer: one connection after the other, each one a job."""
    buffer = bytearray(BUFFER)
    while True:
        connection, _ = listener.accept()
        with connection:
            octets = count = connection.recv_into(buffer)
            first = time.monotonic()
            while count:
                count = connection.recv_into(buffer)
                octets += count
            end = time.monotonic()
        os.write(1, b"%d %d %.6f %.6f\n" % (number, octets, first, end))


def main() -> None:
    listeners = [listen() for _ in range(int(sys.argv[1]))]
    print(*(listener.getsockname()[1] for listener in listeners), flush=True)
    for number, listener in enumerate(listeners):
        threading.Thread(target=swallow, args=(number, listener), daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
