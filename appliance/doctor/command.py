"""The command: opens what is to be examined, and shows what was found."""

from __future__ import annotations

import logging
import os
from collections import Counter

import typer

from appliance import shell
from appliance.doctor.examination import examine
from appliance.doctor.finding import Finding, Level
from appliance.doctor.house import opened
from mailstore import logs
from mailstore.config import Settings

_COLOURS = {Level.OK: "green", Level.NOTE: "blue", Level.WARNING: "yellow", Level.ERROR: "red"}


async def run(settings: Settings, *, as_json: bool) -> int:
    """Examine, show each finding as it comes, and return the exit status."""
    logs.configure("doctor", logging.CRITICAL)  # whatever else would be logged is found and told
    findings: list[Finding] = []
    async with opened(settings) as house:
        async for finding in examine(house):
            findings.append(finding)
            if not as_json:
                level = typer.style(f"{finding.level.value:<7}", fg=_COLOURS[finding.level])
                typer.echo(f"{level}  {finding.subject}: {finding.text}")
    counted = Counter(finding.level for finding in findings)
    if as_json:
        shell.show_json([shell.as_dict(finding) for finding in findings])
    else:
        typer.echo(_summary(counted[Level.ERROR], counted[Level.WARNING]))
    return os.EX_UNAVAILABLE if counted[Level.ERROR] else os.EX_OK


def _summary(errors: int, warnings: int) -> str:
    if not errors and not warnings:
        return "Nothing is wrong."
    counted = ((errors, "error"), (warnings, "warning"))
    return " and ".join(f"{count} {word}{'s' * (count != 1)}" for count, word in counted if count) + "."
