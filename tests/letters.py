"""Mails, structured as the programs that people and libraries use really write them."""

from __future__ import annotations

import base64
import itertools
import struct
import zlib
from collections.abc import Callable

from tests.messages import PDF, crlf

_serial = itertools.count(1)


def png(width: int, height: int) -> bytes:
    """A white picture."""

    def chunk(kind: bytes, octets: bytes) -> bytes:
        return struct.pack(">I", len(octets)) + kind + octets + struct.pack(">I", zlib.crc32(kind + octets))

    rows = (b"\0" + b"\xff" * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    """The beginning of a photograph, with a telephone's notes of 3 kB before its frame."""
    notes = b"Exif\0\0" + bytes(3000)
    frame = struct.pack(">BHHB", 8, height, width, 3) + bytes((1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1))
    return (
        b"\xff\xd8\xff\xe1"
        + struct.pack(">H", len(notes) + 2)
        + notes
        + b"\xff\xc0"
        + struct.pack(">H", len(frame) + 2)
        + frame
        + b"\xff\xd9"
    )


PHOTO, LOGO, SCREEN, DOT = jpeg(3024, 4032), png(180, 60), png(900, 700), png(1, 1)
TNEF = b"\x78\x9f\x3e\x22" + bytes(200)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(400)
CALENDAR = "BEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR\n"


def text(content: str, kind: str = "plain; charset=utf-8", *fields: str) -> bytes:
    head = "".join(f"{field}\n" for field in (f"Content-Type: text/{kind}", *fields))
    return crlf(f"{head}Content-Transfer-Encoding: 8bit\n\n{content}")


def html(content: str, *fields: str) -> bytes:
    return text(
        f"<html><head><meta charset=utf-8></head><body>{content}</body></html>\n", "html; charset=UTF-8", *fields
    )


def binary(octets: bytes, media_type: str, *fields: str) -> bytes:
    head = "".join(f"{field}\n" for field in (f"Content-Type: {media_type}", *fields))
    return crlf(f"{head}Content-Transfer-Encoding: base64\n\n") + base64.encodebytes(octets).replace(b"\n", b"\r\n")


def attached(octets: bytes, media_type: str, name: str) -> bytes:
    return binary(octets, f'{media_type}; name="{name}"', f'Content-Disposition: attachment; filename="{name}"')


def inline(octets: bytes, media_type: str, name: str, content_id: str = "") -> bytes:
    fields = [
        f'Content-Disposition: inline; filename="{name}"',
        *([f"Content-ID: <{content_id}>"] if content_id else ()),
    ]
    return binary(octets, f'{media_type}; name="{name}"', *fields)


def multipart(kind: str, *parts: bytes) -> bytes:
    mark = f"----=_Part_{next(_serial)}_4711.1795".encode()
    inside = b"".join(b"--%b\r\n%b\r\n" % (mark, part) for part in parts)
    return b'Content-Type: multipart/%b;\r\n\tboundary="%b"\r\n\r\n%b--%b--\r\n' % (kind.encode(), mark, inside, mark)


def message(content: bytes, subject: str = "Rechnung", program: str = "") -> bytes:
    fields = ["From: Ada <ada@example.com>", "To: phaser@example.com", f"Subject: {subject}", "MIME-Version: 1.0"]
    return crlf("".join(f"{field}\n" for field in (*fields, *([f"X-Mailer: {program}"] if program else ())))) + content


def forwarded(content: bytes, name: str = "") -> bytes:
    head = f'Content-Type: message/rfc822; name="{name}"\nContent-Disposition: attachment; filename="{name}"\n\n'
    return crlf(head if name else "Content-Type: message/rfc822\n\n") + content


_OUTLOOK_ID = "image001.png@01DC5B8A.3F2E1D40"
_OUTLOOK_HTML = f'<p class="MsoNormal">Anbei.</p><img width=180 height=60 id="Bild_1" src="cid:{_OUTLOOK_ID}">'
_OUTLOOK_LOGO = binary(LOGO, 'image/png; name="image001.png"', f"Content-ID: <{_OUTLOOK_ID}>")


def outlook() -> bytes:
    """Related in mixed; pictures of the signature are named by number, and by cid alone known to belong to it."""
    letter = multipart("alternative", text("Anbei.\n[Logo]\n"), html(_OUTLOOK_HTML))
    related = multipart("related", letter, _OUTLOOK_LOGO)
    pdf = attached(PDF, "application/pdf", "Rechnung 4711.pdf")
    return message(multipart("mixed", related, pdf), program="Microsoft Outlook 16.0")


def outlook_letter() -> bytes:
    """The same without an attachment."""
    letter = multipart("alternative", text("Anbei.\n[Logo]\n"), html(_OUTLOOK_HTML))
    return message(multipart("related", letter, _OUTLOOK_LOGO), program="Microsoft Outlook 16.0")


def outlook_rich() -> bytes:
    """Rich text for whoever is taken to use Outlook, too."""
    return message(
        multipart("mixed", text("Anbei die Rechnung.\n"), attached(TNEF, "application/ms-tnef", "winmail.dat")),
        program="Microsoft Outlook 16.0",
    )


def outlook_reply() -> bytes:
    """Pictures of letters that were answered stand there although the HTML does not show them any more."""
    letter = multipart("alternative", text("Danke!\n"), html("<p>Danke!</p>"))
    old = binary(SCREEN, 'image/png; name="image002.png"', "Content-ID: <image002.png@01DC5B8A.3F2E1D41>")
    return message(multipart("related", letter, old), program="Microsoft Outlook 16.0")


def outlook_web() -> bytes:
    """Exchange: every part with a description, its size and its dates; the picture is called so by the browser."""
    shown = (
        'Content-Disposition: inline; filename="Outlook-abcd1234.png"; size=4711;\n\tcreation-date="Mon, 23 Nov 2026"'
    )
    letter = multipart(
        "alternative",
        text("Hello\n", 'plain; charset="iso-8859-1"'),
        html('<div class="elementToProof">Hello<img src="cid:7d1c1a3e-2d1c-4c5b"></div>'),
    )
    picture = binary(SCREEN, 'image/png; name="Outlook-abcd1234.png"', shown, "Content-ID: <7d1c1a3e-2d1c-4c5b>")
    pdf = binary(
        PDF,
        'application/pdf; name="offer.pdf"',
        "Content-Description: offer.pdf",
        'Content-Disposition: attachment; filename="offer.pdf"; size=10311',
    )
    return message(multipart("mixed", multipart("related", letter, picture), pdf))


def apple_mail() -> bytes:
    """The PDF stands within the letter, inline, in one form of an alternative; behind it nothing but a page's frame."""
    rich = multipart(
        "mixed",
        html("Here it is:<br><br>"),
        inline(PDF, "application/pdf", "Invoice.pdf"),
        html('<br class="Apple-interchange-newline">&nbsp;'),
    )
    return message(multipart("alternative", text("Here it is:\n\n"), rich), program="Apple Mail (2.3826)")


def apple_photo() -> bytes:
    letter = html('<div>The garden</div><img src="cid:5F0C@example.com" id="5F0C" alt="IMG_0042.jpeg">')
    rich = multipart("related", letter, inline(PHOTO, "image/jpeg", "IMG_0042.jpeg", "5F0C@example.com"))
    return message(multipart("alternative", text("The garden\n\n"), rich), program="Apple Mail (2.3826)")


def iphone() -> bytes:
    """Its photographs are called image0.jpeg, and it says that it was an iPhone."""
    photo = inline(PHOTO, "image/jpeg", "image0.jpeg")
    return message(
        multipart("mixed", text("\n"), photo, text("\n\nSent from my iPhone")), program="iPhone Mail (23B85)"
    )


def iphone_heic() -> bytes:
    heic = inline(HEIC, "image/heic", "IMG_0043.HEIC")
    return message(multipart("mixed", text("\n"), heic, text("\n\nSent from my iPhone")), program="iPhone Mail (23B85)")


def gmail() -> bytes:
    """What is attached has a Content-ID, too."""
    letter = multipart(
        "alternative",
        text("See below and attached\n[image: logo.png]\n"),
        html('<div dir="ltr">See below and attached<img src="cid:ii_mi4k9x2p0" alt="logo.png" width="562"></div>'),
    )
    related = multipart("related", letter, inline(SCREEN, "image/png", "logo.png", "ii_mi4k9x2p0"))
    pdf = binary(
        PDF,
        'application/pdf; name="paper.pdf"',
        'Content-Disposition: attachment; filename="paper.pdf"',
        "X-Attachment-Id: f_mi4kb0q81",
        "Content-ID: <f_mi4kb0q81>",
    )
    return message(multipart("mixed", related, pdf))


def gmail_newsletter() -> bytes:
    """Nothing but a letter, with a third form for programs that know AMP and a dot that counts its readers."""
    forms = multipart(
        "alternative",
        text("News\n"),
        text("<html amp4email><body>News</body></html>\n", "x-amp-html; charset=UTF-8"),
        html('<p>News</p><img src="https://example.com/dot.gif" width=1 height=1>'),
    )
    return message(multipart("mixed", forms, inline(DOT, "image/png", "dot.png")))


def thunderbird_inline() -> bytes:
    said = "Print please\n\n-------- Forwarded Message --------\nSubject: Invoice\nFrom: bob@example.org\n\nAttached.\n"
    return message(
        multipart("mixed", text(said, "plain; charset=UTF-8; format=flowed"), attached(PDF, "application/pdf", "i.pdf"))
    )


def thunderbird_attached() -> bytes:
    inner = message(multipart("mixed", text("Attached.\n"), attached(PDF, "application/pdf", "i.pdf")), "Invoice")
    return message(multipart("mixed", text("Print please\n"), forwarded(inner, "Invoice.eml")), "Fwd: Invoice")


def thunderbird_attached_letter() -> bytes:
    """What is forwarded is a letter and nothing more."""
    inner = message(multipart("alternative", text("Come at ten.\n"), html("<p>Come at ten.</p>")), "Ten")
    return message(multipart("mixed", text("Print please\n"), forwarded(inner, "Ten.eml")), "Fwd: Ten")


def mutt() -> bytes:
    note = text("int main;\n", "x-csrc; charset=us-ascii", 'Content-Disposition: attachment; filename="a.c"')
    parts = multipart("mixed", text("The paper.\n", "plain; charset=us-ascii", "Content-Disposition: inline"), note)
    return message(parts, program="Mutt/2.2.13 (2024-03-09)")


def alma() -> bytes:
    """A library system's slip: HTML alone, with the library's logo and the barcode of what was asked for."""
    slip = html(
        '<table><tr><td><img src="cid:logo.jpg" alt="logo"></td></tr></table><h1>Resource Request</h1>'
        '<b>Item Barcode: </b><img src="cid:item_id_1.png" alt="Item Barcode">'
    )
    logo, barcode = inline(jpeg(300, 90), "image/jpeg", "logo.jpg", "logo.jpg"), png(250, 60)
    return message(multipart("related", slip, logo, inline(barcode, "image/png", "item_id_1.png", "item_id_1.png")))


def koha() -> bytes:
    """Notices for readers without an address, as a file of a page each."""
    notices = attached(
        b"<!DOCTYPE html>\n<html><body><pre>Dear reader</pre></body></html>", "text/html", "notices.html"
    )
    return message(multipart("mixed", text("Notices attached\n"), notices), "Print notices for MAIN")


def koha_notice() -> bytes:
    return message(text("Dear Ada,\n\nthe book is waiting for you.\n", 'plain; charset="utf8"'), "Hold available")


def scanner() -> bytes:
    """It knows of no type but octets."""
    return message(multipart("mixed", text("\n"), attached(PDF, "application/octet-stream", "SCAN_0001.PDF")), "Scan")


def flowed() -> bytes:
    return message(text("One paragraph, \nflowed.\n", "plain; charset=utf-8; format=flowed; delsp=yes"))


def signed() -> bytes:
    inner = multipart("mixed", text("Signed.\n"), attached(PDF, "application/pdf", "signed.pdf"))
    signature = text("-----BEGIN PGP SIGNATURE-----\n", "", "Content-Description: OpenPGP digital signature")
    signature = signature.replace(b"text/\r\n", b'application/pgp-signature; name="OpenPGP_signature.asc"\r\n')
    kind = 'signed; micalg=pgp-sha512;\r\n\tprotocol="application/pgp-signature"'
    return message(multipart(kind, inner, signature))


def smime_letter() -> bytes:
    signature = attached(b"0\x80\x06\x09", "application/pkcs7-signature", "smime.p7s")
    return message(multipart("signed; micalg=sha-256", text("Signed.\n"), signature))


def encrypted() -> bytes:
    version = crlf("Content-Type: application/pgp-encrypted\n\nVersion: 1\n")
    said = inline(b"-----BEGIN PGP MESSAGE-----\n\nhQEMA\n", "application/octet-stream", "encrypted.asc")
    return message(multipart("encrypted", version, said))


def invitation() -> bytes:
    forms = multipart(
        "alternative",
        text("At ten\n"),
        html("<p>At ten</p>"),
        text(CALENDAR, "calendar; charset=utf-8; method=REQUEST"),
    )
    return message(multipart("mixed", forms, attached(CALENDAR.encode(), "application/ics", "invite.ics")))


def digest() -> bytes:
    """A list's: its parts are messages without saying so."""
    first = crlf("\n") + message(text("First letter.\n"), "One")
    second = crlf("\n") + message(
        multipart("mixed", text("Second.\n"), attached(PDF, "application/pdf", "b.pdf")), "Two"
    )
    parts = multipart("digest", first, second)
    return message(multipart("mixed", text("Today's topics: two\n"), parts, text("End of digest\n")), "Digest, Vol 1")


def logo_beside_a_pdf() -> bytes:
    """A program that knows nothing of related: the logo stands beside the letter, inline, without a Content-ID."""
    parts = (text("See the file.\n"), inline(LOGO, "image/png", "logo.png"), attached(PDF, "application/pdf", "a.pdf"))
    return message(multipart("mixed", *parts))


def pdf_that_is_related() -> bytes:
    """Some shops' systems."""
    letter = html('<a href="cid:order.pdf@example.com">order</a>')
    return message(multipart("related", letter, inline(PDF, "application/pdf", "order.pdf", "order.pdf@example.com")))


def only_a_logo() -> bytes:
    return message(multipart("mixed", text("\n"), inline(LOGO, "image/png", "label.png")))


LETTERS: dict[str, Callable[[], bytes]] = {
    made.__name__: made
    for made in (
        *(outlook, outlook_letter, outlook_rich, outlook_reply, outlook_web, apple_mail, apple_photo, iphone),
        *(iphone_heic, gmail, gmail_newsletter, thunderbird_inline, thunderbird_attached, thunderbird_attached_letter),
        *(mutt, alma, koha, koha_notice, scanner, flowed, signed, smime_letter, encrypted, invitation, digest),
        *(logo_beside_a_pdf, pdf_that_is_related, only_a_logo),
    )
}
