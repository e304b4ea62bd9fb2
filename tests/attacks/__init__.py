"""The attack catalogue: what strangers have tried on printers and on those who draw their documents.

Every attack is a file of `files/` (made by `tests.attacks.make`) with a line here: what it tries, and what of it must
never reach a printer in a document that was filtered or drawn anew.  `program`: a PostScript or PDF program, which an
insider's printer runs as it is (design, section 7).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mailstore.document_format import DocumentFormat as F

FOLDER = Path(__file__).parent / "files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """`format` is what its octets are sniffed as; the patterns of `never` are for `re.search`."""

    name: str
    tries: str
    format: F
    never: tuple[bytes, ...]
    program: bool = False

    @property
    def octets(self) -> bytes:
        return (FOLDER / self.name).read_bytes()

    def reached(self, printed: bytes) -> list[bytes]:
        """Which patterns are in what a printer got."""
        return [pattern for pattern in self.never if re.search(pattern, printed, re.DOTALL)]


_PS, _PCL, _XL, _PDF = F.POSTSCRIPT, F.PCL, F.PCLXL, F.PDF
_HIDDEN = (rb"(?i)FSDELETE", rb"(?i)RDYMSG", rb"attack-hidden")
_PERMANENT = (rb"\x1b&f[^A-Z\x1b]*10X", rb"\x1b\*c[^A-Z\x1b]*5[FQS]")

_TABLE: tuple[tuple[str, F, str, tuple[bytes, ...]], ...] = (
    ("pjl-fsdirlist.prn", _PS, "lists a folder outside the printer's file system", (rb"FSDIRLIST",)),
    ("pjl-fsquery.prn", _PS, "asks whether a file is there", (rb"FSQUERY", rb"attack-query")),
    ("pjl-fsupload.prn", _PS, "reads a file by path traversal", (rb"FSUPLOAD", rb"attack-passwd")),
    ("pjl-fsdownload.prn", _PS, "writes a file on the printer", (rb"FSDOWNLOAD", rb"ATTACK-CONTENT")),
    ("pjl-fsappend.prn", _PS, "appends to a file on the printer", (rb"FSAPPEND", rb"ATTACK-APPENDS")),
    ("pjl-fsdelete.prn", _PS, "deletes a file on the printer", (rb"FSDELETE", rb"attack-delete")),
    ("pjl-fsmkdir.prn", _PS, "makes a folder on the printer", (rb"FSMKDIR", rb"attack-mkdir")),
    ("pjl-fsinit.prn", _PS, "formats the printer's disk", (rb"FSINIT",)),
    ("pjl-nvram.prn", _PS, "reads and writes the printer's memory", (rb"[RW]NVRAM", rb"SUPERUSER")),
    ("pjl-clearnvram.prn", _PS, "empties the printer's memory", (rb"CLEARNVRAM", rb"NVRAMINIT")),
    ("pjl-nvram-wear.prn", _PS, "wears the memory out by settings", (rb"DEFAULT COPIES",)),
    ("pjl-default.prn", _PS, "changes settings for good", (rb"@PJL[^\r\n]*DEFAULT", rb"LPARM", rb"PAPER ?= ?ATTACK")),
    ("pjl-password.prn", _PS, "sets passwords and locks", (rb"31337", rb"CPLOCK", rb"DISKLOCK")),
    ("pjl-job-password.prn", _PS, "guesses the printer's password", (rb"31337",)),
    ("pjl-initialize.prn", _PS, "resets the printer to what it was when new", (rb"INITIALIZE", rb"@PJL RESET")),
    ("pjl-execute.prn", _PS, "switches the printer off", (rb"EXECUTE", rb"SHUTDOWN", rb"SELFTEST")),
    ("pjl-servicemode.prn", _PS, "opens the maker's service mode", (rb"SERVICEMODE",)),
    ("pjl-dmcmd.prn", _PS, "restarts the printer by PML", (rb"DMCMD", rb"DMINFO", rb"ASCIIHEX")),
    ("pjl-messages.prn", _PS, "takes the printer off line, writes on its panel", (rb"(OP|RDY|ST)MSG", rb"ATTACK")),
    ("pjl-jobmedia.prn", _PS, "keeps the printer from printing", (rb"JOBMEDIA", rb"MANUALFEED ?= ?ON")),
    ("pjl-hold.prn", _PS, "keeps the job in the printer for others", (rb"HOLD", rb"RETAIN", rb"PAGECOUNT", rb"31337")),
    ("pjl-upgrade.prn", _PS, "loads other firmware", (rb"UPGRADE", rb"ATTACK-FIRMWARE")),
    ("pjl-disclosure.prn", _PS, "asks for the configuration", (rb"CONFIG", rb"FILESYS", rb"D?INQUIRE")),
    ("pjl-copies.prn", _PS, "prints without end", (rb"32000",)),
    ("pjl-long-name.prn", _PS, "floods a buffer by a job's name", (rb"ATTACK", rb"A{40}")),
    ("pjl-over-long.prn", _PS, "floods a buffer", (rb"RDYMSG", rb"A{40}")),
    ("hidden-behind-postscript.ps", _PS, "PJL behind a document in PostScript", _HIDDEN),
    ("hidden-behind-pdf.pdf", _PDF, "PJL behind a PDF", _HIDDEN),
    ("hidden-in-pcl-raster.pcl", _PCL, "PJL within rows of raster", _HIDDEN),
    ("hidden-in-transparent-data.pcl", _PCL, "PJL within transparent text", _HIDDEN),
    ("hidden-in-pclxl-data.prn", _XL, "PJL within the data of a picture", _HIDDEN),
    ("hidden-by-case.prn", _PCL, "PJL in small letters", (*_HIDDEN, rb"attack-case")),
    ("hidden-without-uel.prn", F.OCTETS, "PJL without a UEL before it", _HIDDEN),
    ("hidden-after-enter.prn", _PCL, "PJL behind what looks like the document", _HIDDEN),
    ("hidden-behind-blanks.prn", _PS, "PJL behind NUL and blanks", _HIDDEN),
    ("hidden-in-string.prn", _PS, "PJL within a string of PJL", _HIDDEN),
    ("hidden-by-combination.pcl", _PCL, "a UEL in another spelling", (rb"a-12345X",)),
    ("hidden-by-dropping.pcl", _PCL, "a UEL that comes about when something is taken out", _HIDDEN),
    ("hidden-split.pcl", _PCL, "a UEL that begins in data and ends behind them", _HIDDEN),
    ("hidden-second-language.prn", _PCL, "a second document in another language", (rb"exitserver", rb"attack-second")),
    ("hidden-lower-case-uel.ps", _PS, "a UEL in a small letter", _HIDDEN),
    ("hidden-uel-with-nul.ps", _PS, "a UEL with NUL and blanks between", _HIDDEN),
    ("hidden-uel-with-noughts.pdf", _PDF, "a UEL by another number", _HIDDEN),
    ("hidden-uel-in-glyph.pcl", _PCL, "the same within a glyph", _HIDDEN),
    ("hidden-half-a-uel.ps", _PS, "takes the UEL's beginning away from what follows", (rb"\x1b%-12(?!345X)",)),
    ("hidden-behind-form-feed.prn", _PCL, "PJL behind form feeds", _HIDDEN),
    ("hidden-behind-return.prn", _PS, "PJL whose lines end with CR alone, behind a comment", _HIDDEN),
    ("hidden-behind-comment.prn", _PCL, "PJL behind ENTER LANGUAGE with a comment", _HIDDEN),
    ("hidden-text-behind-pdf.pdf", _PDF, "a text behind a PDF", _HIDDEN),
    ("hidden-postscript-in-pcl.prn", _PCL, "PostScript that is said to be PCL", (rb"attack-guess",)),
    ("ps-startjob.ps", _PS, "changes the interpreter for all jobs that follow", (rb"startjob", rb"attackjob")),
    ("ps-exitserver.ps", _PS, "the same, in the older way", (rb"exitserver", rb"attackserver")),
    ("ps-read-file.ps", _PS, "reads a file", (rb"attack-read", rb"root:x:", rb"/etc/passwd")),
    ("ps-write-file.ps", _PS, "writes a file", (rb"attack-write", rb"writestring")),
    ("ps-delete-file.ps", _PS, "deletes and renames files", (rb"deletefile", rb"renamefile")),
    ("ps-list-files.ps", _PS, "lists files", (rb"filenameforall", rb"attack-list")),
    ("ps-setsystemparams.ps", _PS, "sets passwords for good", (rb"setsystemparams", rb"attack-pw")),
    ("ps-showpage.ps", _PS, "writes over the pages of others", (rb"attack-overlay", rb"/showpage *\{72")),
    ("ps-beginpage.ps", _PS, "runs a program at each page of others", (rb"attack-begin",)),
    ("ps-capture.ps", _PS, "keeps the jobs of others", (rb"attackcapture",)),
    ("ps-endless.ps", _PS, "never ends", (rb"attack-endless",)),
    ("ps-picture.ps", _PS, "PJL in a drawn picture", (rb"\x1b%-12345X@PJL FSDELETE", rb"setdistillerparams")),
    ("ps-quit.ps", _PS, "ends the interpreter", (rb"attack-quit",)),
    ("pcl-permanent-macro.pcl", _PCL, "leaves a macro in the printer", _PERMANENT),
    ("pcl-permanent-font.pcl", _PCL, "leaves a font in the printer", _PERMANENT),
    ("pcl-permanent-pattern.pcl", _PCL, "leaves a pattern in the printer", _PERMANENT),
    ("pcl-delete-all.pcl", _PCL, "deletes macros, fonts and patterns of others", (rb"\x1b&f6X", rb"\x1b\*c0[FQ]")),
    ("pcl-self-test.pcl", _PCL, "prints the printer's configuration", (rb"\x1bz",)),
    ("pcl-appletalk.pcl", _PCL, "renames the printer in its network", (rb"\x1b&b", rb"OBJECT attack")),
    ("pcl-status.pcl", _PCL, "reads the printer's memory", (rb"\x1b\*s",)),
    ("pcl-display-functions.pcl", _PCL, "hides commands that are only shown", (rb"\x1b[YZz]", *_PERMANENT)),
    ("pcl-two-octet-text.pcl", _PCL, "hides commands in letters of two octets", (rb"\x1b&t31P.*\x1bz", *_PERMANENT)),
    ("pcl-associate-macro.pcl", _PCL, "runs a macro of the printer's disk", (rb"\x1b&n", rb"attack-on-disk")),
    ("pcl-copies.pcl", _PCL, "prints without end", (rb"32767X",)),
    ("pcl-open-macro.pcl", _PCL, "makes a macro of the next job", (rb"\x1b&f[^A-Z]*0X(?!.*\x1bE)",)),
    ("pcl-open-plotter.pcl", _PCL, "leaves the printer a plotter", (rb"\x1bz", rb"\x1b%-1B(?!.*\x1b(?:E|%-1A))")),
    ("pcl-cut-off.pcl", _PCL, "makes the printer swallow the next job", (rb"32767W",)),
    ("pclxl-passthrough.prn", _XL, "PCL 5 within PCL XL", (rb"\x1bz", rb"\xf8\x91\xbf")),
    ("pclxl-stream.prn", _XL, "leaves a stream that is run later", (rb"attack\xf8\x8c\x5b",)),
    ("pclxl-copies.prn", _XL, "prints without end", (rb"\xff\x7f\xf8\x31",)),
    ("hpgl-escapes.pcl", _PCL, "commands within HP-GL/2", (rb"\x1bz", rb"\x1b\.", *_PERMANENT)),
    ("pwg-later-copies.pwg", F.PWG, "prints without end from its second page", (rb"PwgRaster.{333}\x03\xe7",)),
    ("text-utf-7.txt", F.TEXT, "commands in a charset that has other octets", (rb"\x1b%-12345X@PJL RDY", rb"\x1bz")),
    ("pdf-postscript-xobject.pdf", _PDF, "a program within a PDF", (rb"attack-xobject", rb"exitserver")),
    ("html-fetches.html", F.HTML, "reads files and the network while it is drawn", (rb"root:x:", rb"192\.0\.2\.66")),
    ("svg-entity.svg", F.TEXT, "reads a file while it is drawn", (rb"root:x:",)),
    ("tnef-lies.dat", F.TNEF, "makes whoever opens it read behind its end", (rb"attack-tnef",)),
    ("zip-bomb.zip", F.ZIP, "fills the disk when it is opened", ()),
    ("zip-nested.zip", F.ZIP, "archives within archives, with paths out of the folder", (rb"attack-path",)),
    ("office-macro.docx", F.DOCX, "runs a macro, fetches a template", (rb"attack-macro", rb"192\.0\.2\.66")),
    ("image-bomb.png", F.PNG, "fills the memory: 50,000 by 50,000 pixels, and damaged", ()),
    ("image-bomb.tiff", F.TIFF, "fills the memory: 50,000 by 50,000 pixels in 6 KB", ()),
    ("tiff-loop.tiff", F.TIFF, "pages in a circle", ()),
)  # fmt: skip

_PROGRAMS = re.compile(r"ps-|pdf-")
ATTACKS = tuple(
    Attack(name=name, format=format_, tries=tries, never=never, program=_PROGRAMS.match(name) is not None)
    for name, format_, tries, never in _TABLE
)
"""Documents; each is an attachment of a mail."""

MAILS = (
    Attack(name="mail-subject.eml", format=F.TEXT, tries="PJL in our name of the job", never=(rb"(?i)@PJL RDYMSG",)),
    Attack(
        name="mail-subject-postscript.eml",
        format=_PS,
        tries="the same, and DSC comments",
        never=(rb"(?i)@PJL RDYMSG", rb"ATTACK", rb"\) quit"),
    ),
    Attack(name="mail-file-name.eml", format=_PS, tries="PJL in a file's name", never=(rb"(?i)FSDELETE",)),
)
"""Whole mails."""
