"""The page's form of a printer: only fields of ours, each failure a sentence, what was read shows the same again."""

from __future__ import annotations

from urllib.parse import parse_qsl

from appliance.web import printer_form
from mailstore.directory.records import Printer

_NAMES = sorted(printer_form.FIELDS)
WORDS = (
    *(f"&{name}=".encode() for name in _NAMES),
    b"%0D%0A",
    b"+",
    b"socket://192.0.2.9:9100",
    b"1+GiB",
    b"ip:::1/64",
)
_PRINTER = Printer(name="laser", addresses=("laser@example.com",))


def check(octets: bytes) -> None:
    text = octets.decode("utf-8", "replace")
    pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=1000)[:1000] if text.count("&") < 1000 else []
    form = printer_form.filled(pairs)
    assert set(form) <= set(_NAMES)
    reading = printer_form.read(form, _PRINTER)
    assert all(sentence and "\n" not in sentence for sentence in reading.errors.values())
    assert set(reading.changes) | set(reading.errors) <= set(_NAMES) | {"network_address", "gateway"}
    for name, value in reading.changes.items():
        shown = printer_form.FIELDS[name].show(value)
        assert printer_form.FIELDS[name].read(shown) == value
    now = printer_form.texts(_PRINTER)
    assert printer_form.merge(printer_form.marks(now), now, now).differences == []
    merged = printer_form.merge(text, form, now)
    assert set(merged.texts) <= set(now) | set(form)
