"""What a log must never show: on a real terminal, in another process, as an operator sees it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

SECRET = "correct-horse-battery"
PROGRAM = """
import logging
import sys
import structlog
from mailstore import logs

logs.configure("test")

def fails(password):
    try:
        raise ValueError("the directory does not answer")
    except ValueError:
        structlog.get_logger("ours").exception("of structlog")
        logging.getLogger("foreign").exception("of the standard library")

fails(sys.argv[1])
"""


def on_a_terminal(program: str, *arguments: str) -> str:
    """What a program writes to its standard error, which is a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stderr=slave)
    os.close(slave)
    written = b""
    try:
        while block := os.read(master, 4096):
            written += block
    except OSError:  # the terminal's other side is closed
        pass
    finally:
        os.close(master)
        assert process.wait(20) == 0, written
    return written.decode()


def test_tracebacks_on_a_terminal_show_no_local_variable() -> None:
    """Rich, which structlog would take where it is installed, shows them all."""
    told = on_a_terminal(PROGRAM, SECRET)
    assert told.count("ValueError: the directory does not answer") == 2
    assert "of structlog" in told
    assert "of the standard library" in told
    assert SECRET not in told
