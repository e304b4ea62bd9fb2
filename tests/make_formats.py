"""The table of formats: what becomes of a document of each for a printer of each language, from the code."""

from __future__ import annotations

from mailstore.abilities import OFFICE, RISKY
from mailstore.directory.records import Language, Printer
from mailstore.document_format import DocumentFormat
from mailstore.passage import CONTAINERS, Treatment, treatment
from printerbridge.route import route, spoken

HEAD = "<!-- Written by `python -m tests.make_reference` from the code: change it there. -->\n"
NAMES = {
    Language.POSTSCRIPT: "PostScript 3",
    Language.POSTSCRIPT2: "PostScript 2",
    Language.PDF: "PDF",
    Language.PCL: "PCL 5",
    Language.PCLXL: "PCL XL",
    Language.PWG: "PWG raster",
    Language.TEXT: "plain text",
}
TRUSTS = ("insider", "verified", "stranger")


def page() -> str:
    lines = [
        HEAD,
        "# Formats\n",
        "What becomes of a document, by its format and the language of the printer.  *passes*: insiders' goes as it",
        "came, *filtered*: it is looked through by the [print firewall](../firewall.md), for the senders that stand",
        "behind it.  A number is the way that everybody else's goes, and insiders' too where nothing else is said; a dash",
        "means that it is refused.  Each way is compared by pixels with its source in `tests/test_corpus.py`, but for what",
        "nothing free draws: of PCL XL the pages are counted.\n",
        "| format | " + " | ".join(NAMES.values()) + " |",
        "|---|" + "---|" * len(NAMES),
    ]
    ways: dict[str, int] = {}
    lines += [f"| `{source.value}`{_marks(source)} | {' | '.join(_cells(source, ways))} |" for source in _formats()]
    lines += [
        "",
        "¹ opened by LibreOffice, where it is installed.  ² of strangers only where the [sandbox](../sandbox.md) is safe, or",
        "the site says `[bridge] risky`.  What is in `application/zip` and `application/ms-tnef` is judged by itself.\n",
        "## Ways\n",
        "| | converters in order |",
        "|---|---|",
        *(f"| {number} | {way} |" for way, number in ways.items()),
        "",
        f"Told apart and refused: {', '.join(f'`{each.value}`' for each in DocumentFormat if each not in _formats())}.",
        "",
    ]
    return "\n".join(lines)


def _formats() -> list[DocumentFormat]:
    return [
        source
        for source in DocumentFormat
        if source not in CONTAINERS and any(_cell(source, language, {}) != "–" for language in Language)
    ]


def _marks(source: DocumentFormat) -> str:
    return " ¹" * (source in OFFICE) + " ²" * (source in RISKY)


def _cells(source: DocumentFormat, ways: dict[str, int]) -> list[str]:
    return [_cell(source, language, ways) for language in NAMES]


def _cell(source: DocumentFormat, language: Language, ways: dict[str, int]) -> str:
    told = []
    if spoken(source, [language]):
        told += _passes(source, language)
    way = route(DocumentFormat.PDF if source is DocumentFormat.PCLM else source, [language], as_is=False)
    if way:
        told.append(str(ways.setdefault(", ".join(converter.name for converter in way), len(ways) + 1)))
    return "; ".join(told) or "–"


def _passes(source: DocumentFormat, language: Language) -> list[str]:
    printer = Printer(name="p", addresses=("p@example.com",), uri="socket://192.0.2.7", languages=(language,))
    whose = [trust for trust in TRUSTS if treatment(printer, trust, source) is not Treatment.RERENDER]
    if source is DocumentFormat.TEXT:
        return ["its characters pass"]
    if source in (DocumentFormat.POSTSCRIPT, DocumentFormat.PDF):
        return ["passes"]
    return [f"filtered ({', '.join(whose)})"] if whose else []
