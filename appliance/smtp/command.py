"""What a line means where it stands: a command, a response of an authentication, or not SMTP at all.

Security: a client that speaks HTTP is a web page that wants to print, or worse: the connection ends.  Commands that
bring no mail nearer are counted.
"""

from __future__ import annotations

from typing import Final

import structlog
from prometheus_client import Histogram

from appliance.smtp import verbs
from appliance.smtp.dialogue import Dialogue, Step
from appliance.smtp.lines import Line
from appliance.smtp.login import TOO_LONG
from appliance.smtp.reply import Reply

SECONDS = Histogram(
    "printpost_smtp_command_duration_seconds",
    "From a command, or the end of the data, to its reply",
    ["command"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
SECONDS_OF: Final = {command: SECONDS.labels(command) for command in (*verbs.VERBS, "END", "OTHER")}

log = structlog.get_logger()


def meant(dialogue: Dialogue, line: Line) -> tuple[str, Step]:
    """The command's name, as `SECONDS_OF` has it ("OTHER" if it is none), and its step."""
    exchange = dialogue.exchange
    if verbs.HTTP.match(line.octets):
        log.info("connection speaks HTTP or TLS", client=dialogue.client.ip)
        return "OTHER", verbs.NOT_HTTP
    if line.too_long and line.octets[:4].upper() == b"BDAT":
        return "OTHER", verbs.NO_SIZE
    if line.too_long:
        dialogue.exchange = None
        return "OTHER", TOO_LONG if exchange else Reply(code=500, status="5.5.2", text="the line is too long")
    text = verbs.text_of(line.octets)
    if exchange is not None:
        return "AUTH", verbs.respond(dialogue, text)
    verb, _, argument = text.partition(" ")
    verb = verb.upper()
    method = verbs.VERBS.get(verb)
    if method is None:
        return "OTHER", verbs.unknown(line.octets, verb)
    dialogue.idle_commands += verb in verbs.IDLE
    if dialogue.idle_commands > dialogue.site.limits.idle_commands:
        return verb, verbs.TOO_IDLE
    return verb, method(dialogue, argument.strip(" "))
