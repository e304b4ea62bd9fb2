"""Text in many charsets, letters in HTML, and Office documents: what is looked for is their words."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

from mailstore.document_format import DocumentFormat
from tests.corpus.item import Item
from tests.corpus.producers import NAMES, flat, page

LINES = dict(NAMES)
_OPEN = "http://schemas.openxmlformats.org"


def scripts() -> bytes:
    """Eight scripts in UTF-8 with a byte order mark, tabs, and a second page."""
    return "\n".join((*(f"{name}\t{line}" for name, line in NAMES), "\fSecond page")).encode("utf-8-sig")


def long_lines() -> bytes:
    """Lines longer than the paper is wide, and more than a page of them."""
    return "\n".join(f"{number}: " + "lorem ipsum dolor sit amet " * 8 for number in range(40)).encode()


def _coded(script: str, charset: str) -> Callable[[], bytes]:
    return lambda: f"Printpost\n{LINES[script]}\n".encode(charset)


CODED = (
    ("Latin", "iso-8859-1"),
    ("Greek", "iso-8859-7"),
    ("Cyrillic", "koi8-r"),
    ("Hebrew", "windows-1255"),
    ("Arabic", "windows-1256"),
    ("Japanese", "shift_jis"),
    ("Japanese", "iso-2022-jp"),
    ("Chinese", "big5"),
    ("Korean", "euc-kr"),
    ("Cyrillic", "utf-16"),
)


def newsletter() -> bytes:
    """A web page sent as a letter."""
    return page().encode()


def outlook() -> bytes:
    """A letter as Outlook writes them: tables in tables, conditional comments, a charset of its own."""
    return (
        '<html><head><meta http-equiv="Content-Type" content="text/html; charset=windows-1252"><style><!-- p '
        "{font-family:Calibri;font-size:11pt} --></style></head><body><!--[if mso]><p>never</p><![endif]-->"
        "<table width=600 border=1><tr><td><table><tr><td bgcolor=#ffcc00>Angebot</td><td>Größe 42</td></tr></table>"
        '</td></tr></table><p>Preis: 17 €</p><img src="http://192.0.2.1/logo.png" alt="Logo"></body></html>'
    ).encode("cp1252")


def right_to_left() -> bytes:
    """A letter that is written from the right."""
    return f"<!DOCTYPE html><html dir=rtl><body><h1>{LINES['Hebrew']}</h1><p>{LINES['Arabic']}</p>".encode()


def _zip(files: dict[str, str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return file.getvalue()


def _opendocument(kind: str, body: str) -> bytes:
    media = f"application/vnd.oasis.opendocument.{kind}"
    content = flat(kind, body).replace("office:document ", "office:document-content ")
    content = content.replace("</office:document>", "</office:document-content>")
    space = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
    manifest = f'<m:manifest xmlns:m="{space}" m:version="1.3">' + "".join(
        f'<m:file-entry m:full-path="{path}" m:media-type="{type_}"/>'
        for path, type_ in (("/", media), ("content.xml", "text/xml"))
    )
    content = content.replace(f' office:mimetype="{media}"', "")
    return _zip({"mimetype": media, "content.xml": content, "META-INF/manifest.xml": f"{manifest}</m:manifest>"})


def _office_open(folder: str, main: str, parts: dict[str, str], kinds: dict[str, str]) -> bytes:
    relation = f"{_OPEN}/officeDocument/2006/relationships"
    types = "".join(
        f'<Override PartName="/{name}" ContentType="application/vnd.openxmlformats-officedocument.{kind}+xml"/>'
        for name, kind in kinds.items()
    )
    rels = "application/vnd.openxmlformats-package.relationships+xml"
    space = f"{_OPEN}/package/2006"
    return _zip(
        {
            "[Content_Types].xml": f'<Types xmlns="{space}/content-types"><Default Extension="rels" '
            f'ContentType="{rels}"/>{types}</Types>',
            "_rels/.rels": f'<Relationships xmlns="{space}/relationships"><Relationship Id="rId1" '
            f'Type="{relation}/officeDocument" Target="{folder}/{main}"/></Relationships>',
            **parts,
        }
    )


def docx() -> bytes:
    """A Word document with runs, a table and a script from the right."""
    space = f"{_OPEN}/wordprocessingml/2006/main"
    rows = "".join(
        f"<w:tr>{''.join(f'<w:tc><w:p><w:r><w:t>{cell}</w:t></w:r></w:p></w:tc>' for cell in row)}</w:tr>"
        for row in (("Apples", "12"), ("Pears", "7"))
    )
    body = (
        "<w:p><w:r><w:rPr><w:b/><w:sz w:val='48'/></w:rPr><w:t>Contract</w:t></w:r></w:p>"
        f"<w:p><w:r><w:t>{LINES['Cyrillic']}</w:t></w:r></w:p><w:tbl><w:tblPr/><w:tblGrid/>{rows}</w:tbl>"
        f"<w:p><w:pPr><w:bidi/></w:pPr><w:r><w:rPr><w:rtl/></w:rPr><w:t>{LINES['Hebrew']}</w:t></w:r></w:p>"
    )
    part = f'<w:document xmlns:w="{space}"><w:body>{body}</w:body></w:document>'
    name = "word/document.xml"
    return _office_open("word", "document.xml", {name: part}, {name: "wordprocessingml.document.main"})


def xlsx() -> bytes:
    """An Excel workbook with numbers, words and a formula."""
    space = f"{_OPEN}/spreadsheetml/2006/main"
    relation = f"{_OPEN}/officeDocument/2006/relationships"
    rows = "".join(
        f'<row r="{n}"><c r="A{n}" t="inlineStr"><is><t>Item{n}</t></is></c><c r="B{n}"><v>{n * 1111}</v></c></row>'
        for n in range(1, 9)
    )
    rows += '<row r="9"><c r="B9"><f>SUM(B1:B8)</f><v>39996</v></c></row>'
    book = f'<workbook xmlns="{space}" xmlns:r="{relation}"><sheets><sheet name="a" sheetId="1" r:id="rId1"/></sheets></workbook>'  # noqa: E501
    sheet = f'<worksheet xmlns="{space}"><sheetData>{rows}</sheetData></worksheet>'
    links = (
        f'<Relationships xmlns="{_OPEN}/package/2006/relationships"><Relationship Id="rId1" '
        f'Type="{relation}/worksheet" Target="sheet.xml"/></Relationships>'
    )
    parts = {"xl/workbook.xml": book, "xl/sheet.xml": sheet, "xl/_rels/workbook.xml.rels": links}
    kinds = {"xl/workbook.xml": "spreadsheetml.sheet.main", "xl/sheet.xml": "spreadsheetml.worksheet"}
    return _office_open("xl", "workbook.xml", parts, kinds)


def odt() -> bytes:
    """An OpenDocument text."""
    return _opendocument("text", f"<text:h>Minutes</text:h><text:p>{LINES['Greek']}</text:p>")


def odp() -> bytes:
    """An OpenDocument presentation: a page that lies across."""
    frame = '<draw:frame svg:x="2cm" svg:y="2cm" svg:width="20cm" svg:height="3cm"><draw:text-box>'
    return _opendocument(
        "presentation", f"<draw:page>{frame}<text:p>Figures</text:p></draw:text-box></draw:frame></draw:page>"
    )


def rtf() -> bytes:
    """Rich text in windows-1252."""
    return rb"{\rtf1\ansi\ansicpg1252{\b Notice}\par Gr\'f6\'dfe 42\par}"


TEXTS = (
    Item(make=scripts, format=DocumentFormat.TEXT, words=("Boxkämpfer", "Ξεσκεπάζω", "французских", "Second")),
    Item(make=long_lines, format=DocumentFormat.TEXT, words=("0:", "39:", "amet")),
    *(
        Item(
            make=_coded(script, charset),
            format=DocumentFormat.TEXT,
            charset=charset,
            words=("Printpost", LINES[script].split()[-1]),
            name=f"text-{charset}",
        )
        for script, charset in CODED
    ),
)
PAGES_OF_WEB = (
    Item(make=newsletter, format=DocumentFormat.HTML, words=("Newsletter", "Boxkämpfer", "булок", "40", "Second")),
    Item(make=outlook, format=DocumentFormat.HTML, charset="windows-1252", words=("Angebot", "Größe", "€")),
    Item(make=right_to_left, format=DocumentFormat.HTML, words=("סקרן", "חברה")),
)
OFFICE = (
    Item(make=docx, format=DocumentFormat.DOCX, words=("Contract", "Apples", "французских", "סקרן")),
    Item(make=xlsx, format=DocumentFormat.XLSX, words=("Item8", "8888", "39996")),
    Item(make=odt, format=DocumentFormat.ODT, words=("Minutes", "βδελυγμία")),
    Item(make=odp, format=DocumentFormat.ODP, words=("Figures",)),
    Item(make=rtf, format=DocumentFormat.RTF, words=("Notice", "Größe")),
)
