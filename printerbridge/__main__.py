"""`python -m printerbridge`: the process that prints, until SIGTERM; with `virtual-printer` a printer to print on,
with `discover` those that are there, with `look NAME` one printer, asked now how it fares, as JSON.

What is being sent is finished first, for twenty seconds at most.  Exit status: 0 after SIGTERM or SIGINT, 78
(EX_CONFIG) if the configuration cannot be meant, 69 (EX_UNAVAILABLE) if something that is needed cannot be had, 74
(EX_IOERR) if the system refuses a file or folder.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import structlog

from mailstore import config, logs, loop
from mailstore.config import ConfigError, Settings
from mailstore.directory import opening
from mailstore.failure import Failure, PermanentFailure
from mailstore.header import clean
from mailstore.monitoring import monitor
from mailstore.notify import notify
from mailstore.store.contract import Role, StoreUnusable
from mailstore.store.sql import open_store
from printerbridge import virtual_faults
from printerbridge.bridge import Bridge
from printerbridge.discovery import command
from printerbridge.guard import Guard
from printerbridge.health import ask_once
from printerbridge.virtual_command import serve_forever

GRACE_SECONDS = 20.0

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def serve(settings: Settings) -> None:
    """Run the bridge until SIGTERM or SIGINT.  Raises `ConfigError`, `StoreUnusable` or `Failure` if it cannot."""
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    async with contextlib.AsyncExitStack() as stack:
        store = await open_store(
            settings.store.folder, role=Role.BRIDGE, keep=settings.store.keep, reserve=settings.store.reserve
        )
        stack.push_async_callback(store.close)
        directory = opening.connect(settings, "bridge")
        stack.push_async_callback(directory.close)

        async def readiness() -> str:
            await store.generation()
            return ""

        await stack.enter_async_context(monitor(settings.bridge.metrics_listen, "[bridge] metrics_listen", readiness))
        bridge = Bridge(
            store,
            directory,
            spool=settings.store.folder / "spool-bridge",
            media=settings.site.media,
            converters=settings.bridge.converters,
            memory=settings.bridge.memory,
            risky=settings.bridge.risky,
            guard=Guard(own_listeners(settings)),
        )
        await bridge.start()
        loop.settle()
        log.info("ready")
        notify("READY=1")
        await asked.wait()
        notify("STOPPING=1")
        log.info("stopping")
        await bridge.stop(GRACE_SECONDS)


async def look(settings: Settings, name: str) -> dict[str, Any]:
    """What the printer `name` says by SNMP.  Raises `Failure` if it is not known."""
    directory = opening.connect(settings, "bridge")
    try:
        printer = await directory.printer(name.lower())
    finally:
        await directory.close()
    if printer is None:
        raise PermanentFailure("5.1.1", f"there is no printer {clean(name, 80)}")
    return await ask_once(printer, Guard(own_listeners(settings)))


async def virtual_printer(arguments: argparse.Namespace) -> None:
    """Be a printer until SIGTERM or SIGINT."""
    await serve_forever(
        arguments.listen,
        arguments.output,
        arguments.fault,
        personality=arguments.personality,
        page_seconds=arguments.page_seconds,
        capture=arguments.capture,
        snmp=arguments.snmp,
        community=arguments.community,
        status=arguments.status,
    )


def own_listeners(settings: Settings) -> list[str]:
    """Every HOST:PORT where Printpost listens: no printer stands there."""
    sections = (
        settings.smtp,
        settings.submission,
        settings.submissions,
        settings.pop3,
        settings.pop3s,
        settings.web,
        settings.metrics,
    )
    return [*(section.listen for section in sections), settings.bridge.metrics_listen]


def main() -> int:
    arguments = _parser().parse_args()
    try:
        if arguments.command == "virtual-printer":
            logs.configure("virtual-printer")
            loop.run(virtual_printer(arguments))
            return os.EX_OK
        settings, _ = config.load(arguments.config)
        if arguments.command == "discover":
            logs.configure("discover")
            return command.run(arguments, Guard(own_listeners(settings)))
        if arguments.command == "look":
            logs.configure("look")
            sys.stdout.write(f"{json.dumps(loop.run(look(settings, arguments.name)))}\n")
            return os.EX_OK
        logs.configure("bridge")
        loop.run(serve(settings))
    except ConfigError as error:
        return _sorry(str(error), os.EX_CONFIG)
    except StoreUnusable as error:
        return _sorry(str(error), os.EX_UNAVAILABLE)
    except Failure as failure:
        # RFC 3463 section 3.6: 5.5.4 is a wrong argument.
        return _sorry(failure.text, 2 if failure.status == "5.5.4" else os.EX_UNAVAILABLE)
    except OSError as error:
        what = f"{error.filename} cannot be used" if error.filename else "the system refuses"
        return _sorry(f"{what}: {error.strerror or error}", os.EX_IOERR)
    return os.EX_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m printerbridge", description="Print what waits in the maildrops.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration, printpost.toml by default")
    commands = parser.add_subparsers(dest="command")
    command.add_options(commands.add_parser("discover", help="look for printers instead"))
    commands.add_parser("look", help="ask one printer how it fares instead").add_argument("name", metavar="NAME")
    virtual = commands.add_parser(
        "virtual-printer",
        help="be a printer instead",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=virtual_faults.HELP,
    )
    virtual.add_argument("--listen", required=True, metavar="HOST:PORT")
    virtual.add_argument("--output", required=True, type=Path, metavar="FOLDER")
    virtual.add_argument("--fault", action="append", default=[], metavar="NAME")
    virtual.add_argument("--personality", default="plain", metavar="NAME")
    virtual.add_argument("--page-seconds", type=float, default=0.0, metavar="SECONDS")
    virtual.add_argument("--capture", action="store_true")
    virtual.add_argument("--snmp", default="", metavar="HOST:PORT")
    virtual.add_argument("--community", default="public", metavar="NAME")
    virtual.add_argument("--status", default="", metavar="HOST:PORT")
    return parser


def _sorry(sentence: str, status: int) -> int:
    sys.stderr.write(f"printerbridge: {sentence}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
