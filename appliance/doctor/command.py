"""The command: opens what is to be examined, and shows what was found."""

from __future__ import annotations

import contextlib
import os

import typer

from appliance import shell
from appliance.doctor.examination import examine
from appliance.doctor.finding import Finding, House, Level
from mailstore.config import Settings
from mailstore.directory.opening import connect_people

_COLOURS = {Level.OK: "green", Level.NOTE: "blue", Level.WARNING: "yellow", Level.ERROR: "red"}


async def run(settings: Settings, *, as_json: bool) -> int:
    """Examine, show each finding as it comes, and return the exit status."""
    findings: list[Finding] = []
    async with shell.opened(settings) as (store, directory), contextlib.AsyncExitStack() as stack:
        people = connect_people(settings)
        stack.push_async_callback(people.close)
        async for finding in examine(House(settings=settings, store=store, directory=directory, people=people)):
            findings.append(finding)
            if not as_json:
                level = typer.style(f"{finding.level.value:<7}", fg=_COLOURS[finding.level])
                typer.echo(f"{level}  {finding.subject}: {finding.text}")
    if as_json:
        shell.show_json([shell.as_dict(finding) for finding in findings])
    return os.EX_UNAVAILABLE if any(finding.level is Level.ERROR for finding in findings) else os.EX_OK
