"""How every process writes its log: lines for people on a terminal, JSON everywhere else, always to stderr."""

from __future__ import annotations

import logging
import sys

# structlog takes Rich along where that is installed, as Typer wants it: 3 MB in every process, and 50 ms of every
# command, for tracebacks that we do not want.  None lets that import fail, and others find it again.
if _hidden := "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
import structlog
from prometheus_client import Counter

if _hidden:
    del sys.modules["rich"]

LINES = Counter("printpost_log_messages_total", "Lines of the log.", ["level"])
_LINES = {level: LINES.labels(level) for level in ("debug", "info", "warning", "error", "critical")}

_QUIET = ("aiosmtpd", "asyncio", "ldap3", "mail.debug", "mail.log", "PIL", "uvicorn")
"""Libraries whose INFO holds addresses, logins or noise."""


def configure(process: str, level: int = logging.INFO) -> None:
    """Set up structlog and the standard library's logging for this process; `process` stands on every line."""
    terminal = sys.stderr.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _count,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if terminal else "iso", utc=not terminal),
    ]
    # Rich's tracebacks, structlog's choice for terminals, show local variables: a password may be among them.
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if terminal
        else structlog.processors.JSONRenderer()
    )
    tail: list[structlog.typing.Processor] = [] if terminal else [structlog.processors.format_exc_info]
    structlog.configure(
        processors=[*shared, *tail, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=[*tail, _drop_internals, renderer], foreign_pre_chain=shared)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _count(
    _logger: structlog.typing.WrappedLogger, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if (line := _LINES.get(event["level"])) is not None:
        line.inc()
    return event


def _drop_internals(
    _logger: structlog.typing.WrappedLogger, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.ProcessorReturnValue:
    return structlog.stdlib.ProcessorFormatter.remove_processors_meta(_logger, _name, event)
