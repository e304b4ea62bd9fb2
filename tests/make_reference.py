"""Writes docs/reference/*.md from the code: python -m tests.make_reference"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import typer.main
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import REGISTRY
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import appliance
import mailstore
import printerbridge
from appliance import cli, reactor
from appliance.gauges import StoreGauges
from mailstore import config
from mailstore.condition import PRINTER_REASONS, PRINTER_STATES
from mailstore.job import REASONS, DeliveryProof, JobState
from printerbridge.virtual_device import CONDITIONS
from printerbridge.virtual_faults import HAZARDS, KINDS
from printerbridge.virtual_personality import PERSONALITIES
from tests import make_formats
from tests.policy_table import SECTIONS, Row, outcome

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
HEAD = "<!-- Written by `python -m tests.make_reference` from the code: change it there. -->\n"
assert reactor  # must be imported before anything of Twisted


def options() -> str:
    lines = [
        HEAD,
        "# Options\n",
        "One TOML file, given by `--config FILE` before the command or by `PRINTPOST_CONFIG`; else `printpost.toml` in",
        "the working folder, else `/etc/printpost/printpost.toml`, else the defaults below.  Every key is also an",
        "environment variable, which wins: `[smtp] listen` is `PRINTPOST_SMTP__LISTEN`.  Lists in variables are words,",
        "apart by commas.",
        "Sizes may be written like `50 MiB`, periods like `24h`.  An unknown key or value refuses to start.\n",
    ]
    for section, field in config.Settings.model_fields.items():
        model = cast("type[BaseModel]", field.annotation)
        lines += [
            f"## [{section}]\n",
            f"{(model.__doc__ or '').strip()}\n",
            "| key | default | meaning |",
            "|---|---|---|",
        ]
        for key, option in model.model_fields.items():
            lines.append(f"| `{option.alias or key}` | {_default(section, key, option)} | {option.description} |")
        lines.append("")
    return "\n".join(lines)


def _default(section: str, key: str, option: Any) -> str:
    computed = {
        ("site", "hostname"): "this machine's name",
        ("store", "url"): "`sqlite:` and the data folder of root or the user",
    }
    if (section, key) in computed:
        return computed[section, key]
    default = option.default
    if default is PydanticUndefined or default in (None, "", ()):
        return ""
    if isinstance(default, int) and default >= 1 << 20:
        return f"`{default >> 20} MiB`"
    if isinstance(default, tuple):
        return ", ".join(f"`{item}`" for item in default)
    return f"`{default}`"


def metrics() -> str:
    lines = [
        HEAD,
        "# Metrics\n",
        "Both processes answer `/metrics`, `/livez` and `/readyz`: the appliance on `[metrics] listen`, the bridge on",
        "`[bridge] metrics_listen`.  States and reasons are [IPP's words](reasons.md).\n",
        "| metric | type | labels | meaning |",
        "|---|---|---|---|",
    ]
    for family in sorted(families(), key=lambda family: family.name):
        suffix = "_total" if family.type == "counter" else ""
        labels = ", ".join(f"`{label}`" for label in label_names(family))
        lines.append(f"| `{family.name}{suffix}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join([*lines, ""])


def families() -> list[Metric]:
    """Every metric of ours that any module of the three packages defines."""
    for package in (appliance, mailstore, printerbridge):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    gauges = StoreGauges(cast("Any", None), cast("Any", None), CollectorRegistry())
    return [
        family
        for family in (*REGISTRY.collect(), *gauges.collect())
        if family.name.startswith("printpost_") and "_test_" not in family.name
    ]


def label_names(family: Metric) -> tuple[str, ...]:
    collectors: dict[str, Any] = REGISTRY._names_to_collectors
    collector = collectors.get(family.name)
    return (
        tuple(getattr(collector, "_labelnames", ()))
        if collector is not None
        else tuple(getattr(family, "_labelnames", ()))
    )


def reasons() -> str:
    lines = [
        HEAD,
        "# States, reasons and proofs\n",
        "The words are those of RFC 8011, in commands, logs, metrics and the database alike; the page and the notices",
        "say what stands beside them.\n",
        "## Jobs\n",
        "`job-state` is one of " + ", ".join(f"`{state.value}`" for state in JobState) + ".\n",
        "| `job-state-reasons` | meaning |",
        "|---|---|",
        *(f"| `{keyword}` | {meaning} |" for keyword, meaning in REASONS.items()),
        "",
        "`delivery_proof`, the best evidence that paper came out, weakest first: "
        + ", ".join(f"`{proof.value}`" for proof in DeliveryProof)
        + ".",
        "",
        "## Printers\n",
        "`printer-state` is one of "
        + ", ".join(f"`{word}` ({meaning})" for word, meaning in PRINTER_STATES.items())
        + ".",
        "",
        "| `printer-state-reasons` | meaning |",
        "|---|---|",
        *(f"| `{keyword}` | {meaning} |" for keyword, meaning in PRINTER_REASONS.items()),
        "",
    ]
    return "\n".join(lines)


def commands() -> str:
    lines = [
        HEAD,
        "# Commands\n",
        "`printpost [--config FILE] COMMAND`.  Errors are one sentence on stderr.  Exit status: 0 done, 2 wrong usage,",
        "else as in sysexits(3): 65 wrong data, 67 no such printer, 69 not available, 75 try again later, 77 may not,",
        "78 wrong configuration.\n",
    ]
    _describe(typer.main.get_command(cli.app), ["printpost"], lines)
    return "\n".join(lines)


def _describe(command: Any, path: list[str], lines: list[str]) -> None:
    children = getattr(command, "commands", None)
    if children:
        for name, child in children.items():
            _describe(child, [*path, name], lines)
        return
    lines += [f"## {' '.join(path)}\n", f"{(command.help or '').strip()}\n"]
    parameters = [parameter for parameter in command.params if parameter.name != "help"]
    if parameters:
        lines += ["| | |", "|---|---|"]
        lines += [f"| {_spelled(parameter)} | {parameter.help or ''} |" for parameter in parameters]
        lines.append("")


def _spelled(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{(parameter.metavar or parameter.name or '').upper()}`"
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def virtual_printer() -> str:
    lines = [
        HEAD,
        "# The virtual printer\n",
        "`printpost virtual-printer --listen 127.0.0.1:9100 --output paper` behaves like a printer on raw port 9100.",
        "Of each connection it keeps what came (`job-0001.prn`), draws PostScript and PDF as `job-0001.pdf` with a",
        "picture of each page, `job-0001-1.png`, and adds a line of JSON to `jobs.jsonl`: also how many pages truly",
        "came out, and whether that was the job (`outcome`: `printed`, `nothing`, or `part: 3 pages`).",
        "It answers PJL.\n",
        "## Faults\n",
        "Told so by `--fault NAME[:N[:SECONDS]][*COUNT]`, it misbehaves: with `*COUNT` for that many connections only.",
        "N is a number of octets, or a word: `connect` (before the first octet is read) or `eof` (when the client has",
        "closed its side).  Several faults are met one after another.  SIGUSR1 loads paper and ends a stall, SIGUSR2",
        "takes the paper out.\n",
        "| fault | N by default | SECONDS | what it does | what it plays |",
        "|---|---|---|---|---|",
    ]
    for name, kind in KINDS.items():
        number = "must be given" if kind.needed else kind.default if kind.default is not None else ""
        seconds = f"{kind.seconds:g}" if kind.seconds is not None else ""
        lines.append(f"| `{name}` | {number} | {seconds} | {kind.what} | {kind.plays} |")
    lines += ["\n## Hazards\n", "| what goes wrong with real printers | faults that play it |", "|---|---|"]
    for hazard, faults in HAZARDS:
        played = ", ".join(f"`{fault}`" for fault in faults)
        lines.append(f"| {hazard} | {played or 'none: what is sent is looked at in `jobs.jsonl` (`language`)'} |")
    return "\n".join([*lines, *_what_came_out(), *_personalities(), ""])


def _what_came_out() -> list[str]:
    return [
        "\n## What counts as printed\n",
        "`pages` are those that came out on paper.  Of a connection that broke, the printer prints what it has: of",
        "PostScript the pages that the stump draws, of text what stands there, of PDF what can be read of it.  What a",
        "half-close, a power cycle or `swallow` takes never comes out, but for the pages that lay in the tray already.",
        "The outcome is `printed` if the end of the job was seen: the client's, or the",
        "language's own (a UEL, `%%EOF`).",
        "`@PJL JOB START = n END = m` leaves out what lies before and behind.",
    ]


def _personalities() -> list[str]:
    lines = [
        "\n## Personalities\n",
        "`--personality NAME` says what it speaks and what it leaves out, also by SNMP.\n",
        "| personality | what is odd | source |",
        "|---|---|---|",
    ]
    lines += [f"| `{name}` | {one.what} | {one.source} |" for name, one in PERSONALITIES.items()]
    conditions = ", ".join(f"`{name}`" for name in CONDITIONS if name)
    lines += [
        "\n## Beside the port\n",
        "`--snmp HOST:PORT` answers SNMP v1 and v2c, read-only, for `--community`: the system group, hrDevice and",
        "hrPrinter (RFC 2790), counter, console, supplies and trays (RFC 3805), and the device id (PWG 5107.1), as the",
        "printer fares at that moment.  `--status HOST:PORT` answers any datagram with the status, as AppSocket's UDP",
        f"9101.  In tests `set_condition` makes the printer fare so: {conditions}.\n",
        "`--page-seconds` lets pages come out one by one, each told by USTATUS PAGE.  `--capture` writes every octet",
        "of both directions with its time to `job-0001.capture.jsonl`, a line of JSON each: `t` in seconds since the",
        "connection, `from` client or printer, and `text` or `base64`.",
    ]
    return lines


def who_may_print() -> str:
    lines = [
        HEAD,
        "# Who may print, row by row\n",
        "Each row is a printer with its rules, a mail, and what becomes of it; the tests act them out.  What the words",
        "mean is explained in [Who may print](../who-may-print.md).  Ada is a teacher, Eve a pupil, both at",
        "example.org; Mallory, at example.net, is nobody's friend.\n",
    ]
    for heading, rows in SECTIONS.items():
        lines += [f"## {heading}\n", "| mail | rules of the printer | what becomes of it |", "|---|---|---|"]
        lines += [f"| {row.name}. | {_rules(row)} | {outcome(row)} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def _rules(row: Row) -> str:
    written = row.printer()
    rules = [f"allow `{rule}`" for rule in written.allow] + [f"deny `{rule}`" for rule in written.deny]
    return ", ".join([*rules, *(["`unverified-ok`"] if row.unverified_ok else [])]) or "none"


PAGES: dict[str, Callable[[], str]] = {
    "options.md": options,
    "metrics.md": metrics,
    "reasons.md": reasons,
    "commands.md": commands,
    "virtual-printer.md": virtual_printer,
    "who-may-print.md": who_may_print,
    "formats.md": make_formats.page,
}

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, page in PAGES.items():
        (FOLDER / file).write_text(page(), encoding="utf-8")
