"""The table of formats: what becomes of a document of each for a printer of each language, from the code."""

from __future__ import annotations

from mailstore.abilities import OFFICE, RISKY
from mailstore.directory.records import Language, Printer
from mailstore.document_format import DocumentFormat
from mailstore.passage import CONTAINERS, Treatment, treatment
from printerbridge.route import route, spoken
from tests.test_corpus import cells

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
REFUSED = "\N{EN DASH}"
COMPARED = {(item.format, language) for item, language in cells()}
TRUSTS = ("insider", "verified", "stranger")


def page() -> str:
    lines = [
        HEAD,
        "# Formats\n",
        "What becomes of a document, by its format and the language of the printer.  *Passes*: an insider's goes as",
        "it came.  *Filtered*: it is looked through by the [print firewall](../firewall.md), for the senders that are",
        "named.  *Drawn*: it is made anew, for everybody else and where nothing else is said.  A dash: it is refused.",
        "**Bold** is what `tests/test_corpus.py` draws in that language and compares with its source page by page",
        "and by pixels; in PCL XL, which nothing free draws, by the number of pages.\n",
        "| format | " + " | ".join(NAMES.values()) + " |",
        "|---|" + "---|" * len(NAMES),
        *(f"| `{source.value}`{_marks(source)} | {' | '.join(_cells(source))} |" for source in _formats()),
        "",
        "¹ opened by LibreOffice, where it is installed.  ² of strangers only where the [sandbox](../sandbox.md) is",
        "safe, or the site says `[bridge] risky`.  What is in `application/zip` and `application/ms-tnef` is judged by",
        "itself.\n",
        f"Told apart and refused: {', '.join(f'`{each.value}`' for each in DocumentFormat if _refused(each))}.\n",
        "## Ways\n",
        "| from | to | converters, in order |",
        "|---|---|---|",
        *_ways(),
        "",
        "Everything else goes the way to PDF, and from there as a PDF does.",
        "",
    ]
    return "\n".join(lines)


def _ways() -> list[str]:
    drawn = [language for language in NAMES if language is not Language.TEXT]
    to_pdf = [(source, Language.PDF) for source in _formats() if source is not DocumentFormat.PDF]
    from_pdf = [(DocumentFormat.PDF, language) for language in drawn]
    programs = [(DocumentFormat.POSTSCRIPT, language) for language in drawn if language is not Language.PDF]
    return [
        f"| `{source.value}` | {NAMES[language]} | {way} |"
        for source, language in (*to_pdf, *from_pdf, *programs)
        if (way := _way(source, language))
    ]


def _way(source: DocumentFormat, language: Language) -> str:
    return ", ".join(converter.name for converter in route(source, [language], as_is=False) or ())


def _refused(source: DocumentFormat) -> bool:
    return source not in CONTAINERS and source not in _formats()


def _formats() -> list[DocumentFormat]:
    return [
        source
        for source in DocumentFormat
        if source not in CONTAINERS and any(_cell(source, language) != REFUSED for language in Language)
    ]


def _marks(source: DocumentFormat) -> str:
    return " ¹" * (source in OFFICE) + " ²" * (source in RISKY)


def _cells(source: DocumentFormat) -> list[str]:
    return [_cell(source, language) for language in NAMES]


def _cell(source: DocumentFormat, language: Language) -> str:
    told = _passes(source, language) if spoken(source, [language]) else []
    if _way(source, language):
        told.append("**drawn**" if (source, language) in COMPARED else "drawn")
    return "; ".join(told) or REFUSED


def _passes(source: DocumentFormat, language: Language) -> list[str]:
    printer = Printer(name="p", addresses=("p@example.com",), uri="socket://192.0.2.7", languages=(language,))
    whose = [trust for trust in TRUSTS if treatment(printer, trust, source) is not Treatment.RERENDER]
    if source is DocumentFormat.TEXT:
        return ["its characters pass"]
    if source in (DocumentFormat.POSTSCRIPT, DocumentFormat.PDF):
        return ["passes"]
    return [f"filtered ({', '.join(whose)})"] if whose else []
