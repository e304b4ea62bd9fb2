r"""Plays golden dialogues: a text file that says what the client sends and what the server must answer.

One step a line; lines that are empty or begin with `#` are skipped.

- `C: TEXT` the client sends TEXT and CRLF.  Steps of the client that stand together go out in one write (pipelining).
- `C- TEXT` the client sends exactly TEXT, with Python's escapes (`\r\n`, `\x00`) and no line end of its own.
- `C!`      the client closes its half of the connection.
- `C~`      the client begins TLS, and the rest goes under it.
- `S: TEXT` the server sends this line, ended by CRLF.
- `S!`      the server closes the connection and has said nothing more.

In TEXT, `{name}` is a substitution that the caller gives or that an earlier step captured, `{*}` any text (`S:` only),
`{#}` a decimal number (`S:` only), `{name=*}` and `{name=#}` capture what they match, `{{` and `}}` are braces.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from pathlib import Path

DEADLINE = 10.0
"""Seconds for one step."""

_FIELD = re.compile(r"\{\{|\}\}|\{(?:(\w+)=)?([*#]|\w+)\}")
_WILD = {"*": ".*", "#": "[0-9]+"}


class DialogueError(AssertionError):
    """The server said something else than the dialogue; names file and line."""


async def play(
    path: Path, host: str, port: int, *, tls: ssl.SSLContext | None = None, **substitutions: object
) -> dict[str, str]:
    """Play the dialogue in `path` against a server.  Returns the substitutions and all that was captured.

    `tls` is for dialogues that have `C~`, with a server that is called localhost.

    Raises `DialogueError` at the first step that goes another way.
    """
    known = {name: str(value) for name, value in substitutions.items()}
    reader, writer = await asyncio.open_connection(host, port)
    pending = bytearray()
    try:
        for where, step, text in _steps(path):
            if step in ("S:", "S!"):
                await _send(writer, pending)
            if step == "C:":
                pending += _fill(text, known, where).encode() + b"\r\n"
            elif step == "C-":
                pending += _unescape(_fill(text, known, where))
            elif step == "C!":
                await _send(writer, pending)
                writer.write_eof()
            elif step == "C~":
                await _send(writer, pending)
                assert tls is not None
                await asyncio.wait_for(writer.start_tls(tls, server_hostname="localhost"), DEADLINE)
            elif step == "S:":
                known |= _match(await _line(reader, where, text), text, known, where)
            elif step == "S!":
                await _closed(reader, where)
            else:
                raise DialogueError(f"{where}: not a step: {step!r}")
        await _send(writer, pending)
    finally:
        writer.close()
    return known


def _steps(path: Path) -> list[tuple[str, str, str]]:
    return [
        (f"{path.name}:{number}", line[:2], line[2:].removeprefix(" "))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if line.strip() and not line.startswith("#")
    ]


async def _send(writer: asyncio.StreamWriter, pending: bytearray) -> None:
    if pending:
        writer.write(bytes(pending))
        pending.clear()
        await asyncio.wait_for(writer.drain(), DEADLINE)


async def _line(reader: asyncio.StreamReader, where: str, expected: str) -> str:
    try:
        line = await asyncio.wait_for(reader.readuntil(b"\r\n"), DEADLINE)
    except asyncio.IncompleteReadError as error:
        raise DialogueError(f"{where}: expected {expected!r}, connection closed after {error.partial!r}") from None
    except TimeoutError:
        raise DialogueError(f"{where}: expected {expected!r}, nothing came") from None
    return line[:-2].decode("utf-8", "backslashreplace")


async def _closed(reader: asyncio.StreamReader, where: str) -> None:
    try:
        rest = await asyncio.wait_for(reader.read(), DEADLINE)
    except TimeoutError:
        raise DialogueError(f"{where}: the connection stays open") from None
    except ConnectionResetError:
        rest = b""
    if rest:
        raise DialogueError(f"{where}: expected the end of the connection, got {rest!r}")


def _fill(text: str, known: dict[str, str], where: str) -> str:
    def one(match: re.Match[str]) -> str:
        if match[2] is None:
            return match[0][0]
        if match[1] or match[2] not in known:
            raise DialogueError(f"{where}: unknown substitution {match[0]}")
        return known[match[2]]

    return _FIELD.sub(one, text)


def _match(line: str, text: str, known: dict[str, str], where: str) -> dict[str, str]:
    pattern, at, captured = "", 0, []
    for field in _FIELD.finditer(text):
        pattern += re.escape(text[at : field.start()])
        at = field.end()
        if field[2] in _WILD:
            pattern += f"({_WILD[field[2]]})"
            captured.append(field[1])
        else:
            pattern += re.escape(_fill(field[0], known, where))
    match = re.fullmatch(pattern + re.escape(text[at:]), line)
    if not match:
        raise DialogueError(f"{where}: expected {text!r}, got {line!r}")
    return {name: value for name, value in zip(captured, match.groups(), strict=True) if name}


def _unescape(text: str) -> bytes:
    return text.encode("unicode_escape").replace(b"\\\\", b"\\").decode("unicode_escape").encode("latin-1")
