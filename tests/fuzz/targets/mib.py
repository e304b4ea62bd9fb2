"""What an agent answers: any value for any object makes a look, supplies and trays that can be shown and measured."""

from __future__ import annotations

from mailstore.condition import PRINTER_REASONS, PRINTER_STATES, keyword
from printerbridge import mib

WORDS = (b"\x40", b"0x4001", b"40 00", b"Ready", "Prêt".encode(), b"\xff\xfd", b"Black", b"i\x02", b"i\x05", b"n")


def _values(octets: bytes) -> list[mib.Value | None]:
    """Apart by line feeds: numbers behind `i`, nothing as `n`, an identifier as `o`, octets else."""
    made: list[mib.Value | None] = []
    for piece in octets.split(b"\n"):
        kind, content = piece[:1], piece[1:]
        if kind == b"i":
            made.append(int.from_bytes(content[:9], "big", signed=True))
        else:
            made.append({b"n": None, b"o": "1.3.6.1.4.1"}.get(kind, piece[:1024]))
    return made


def check(octets: bytes) -> None:
    values = _values(octets)
    rows = ["1.1", "1.2"]
    asked = [*mib.STATUS, *mib.model_objects(1)]
    asked += [oid for row in rows for oid in (*mib.supply_objects(row), *mib.tray_objects(row))]
    told = dict(zip(asked, values, strict=False))
    look = mib.look(told)
    assert look.state in PRINTER_STATES
    assert {keyword(reason) for reason in look.reasons} <= PRINTER_REASONS.keys()
    assert (look.state == "stopped") == any(keyword(reason) == reason for reason in look.reasons)
    assert look.text.isprintable()
    assert bool(look.text) == bool(look.reasons)
    assert look.console.isprintable()
    assert len(look.console) <= 80
    assert look.pages is None or 0 <= look.pages < 1 << 32
    assert all(text.isprintable() for text in mib.model(told))
    assert all(oid.count(".") > 10 for oid in mib.colorant_objects(rows, told))
    for found in (mib.supplies(rows, told), mib.trays(rows, told)):
        assert len({one.name for one in found}) == len(rows)
        for one in found:
            assert one.name.isprintable()
            assert one.level is None or 0 <= one.level <= 1
    for value in values:
        assert 0 <= mib.error_bits(value) <= 0xFFFF
