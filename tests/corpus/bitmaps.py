"""PDFs with pictures in them: every depth, mask and compression."""

from __future__ import annotations

import io
import struct

import img2pdf  # type: ignore[import-untyped]
import pikepdf
from pikepdf import Array, Dictionary, Name, Stream
from PIL import Image, ImageDraw

from mailstore.document_format import DocumentFormat
from tests.corpus.graphics import painted, title
from tests.corpus.item import Item


def card(width: int = 320, height: int = 240) -> Image.Image:
    """A picture without symmetry: a gradient, discs and words."""
    gradient = Image.linear_gradient("L").resize((width, height))
    image = Image.merge(
        "RGB", (gradient, gradient.transpose(Image.Transpose.FLIP_TOP_BOTTOM), Image.new("L", (width, height), 90))
    )
    draw = ImageDraw.Draw(image)
    draw.ellipse((width * 0.1, height * 0.1, width * 0.4, height * 0.5), fill=(200, 30, 30))
    draw.rectangle((width * 0.6, height * 0.6, width * 0.9, height * 0.9), fill=(20, 20, 120))
    draw.text((width * 0.5, height * 0.2), "Printpost", fill="white", font_size=height / 8)
    return image


def fax(width: int = 800, height: int = 600) -> Image.Image:
    """The same in black and white, with no dots that programs draw each in their own way."""
    image = Image.new("1", (width, height), 1)
    draw = ImageDraw.Draw(image)
    draw.ellipse((80, 60, 320, 300), fill=0)
    draw.rectangle((480, 360, 720, 540), fill=0)
    draw.text((400, 100), "Printpost", fill=0, font_size=70)
    return image


def _shown(*pictures: str) -> str:
    """Each picture in a box of a page of three columns."""
    return "".join(
        f"q 150 0 0 110 {50 + 170 * (n % 3)} {600 - 130 * (n // 3)} cm /{name} Do Q\n"
        for n, name in enumerate(pictures)
    )


def _image(pdf: pikepdf.Pdf, octets: bytes, width: int, height: int, **keys: object) -> pikepdf.Object:
    made = Stream(pdf, octets, Type=Name.XObject, Subtype=Name.Image, Width=width, Height=height)
    for key, value in keys.items():
        made[f"/{key}"] = value
    return pdf.make_indirect(made)


def _packed(image: Image.Image, bits: int) -> bytes:
    """Grey samples of so many bits, rows filled to octets; of 16 with a low octet of its own."""
    rows = []
    for y in range(image.height):
        samples = [int(image.getpixel((x, y)) or 0) for x in range(image.width)]  # type: ignore[arg-type]
        if bits == 16:
            rows.append(b"".join(bytes((sample, 255 - sample)) for sample in samples))
            continue
        text = "".join(f"{sample >> (8 - bits):0{bits}b}" for sample in samples)
        text += "0" * (-len(text) % 8)
        rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
    return b"".join(rows)


def depths() -> bytes:
    """Grey of 1, 2, 4, 8 and 16 bits of an odd width, a palette, and one upside down by its /Decode."""
    grey = card(75, 55).convert("L")

    def pictures(pdf: pikepdf.Pdf) -> Dictionary:
        made = {
            f"/G{bits}": _image(pdf, _packed(grey, bits), 75, 55, BitsPerComponent=bits, ColorSpace=Name.DeviceGray)
            for bits in (1, 2, 4, 8, 16)
        }
        quantized = card(75, 55).quantize(16)
        table = pikepdf.String(bytes(quantized.getpalette() or ())[:48])
        space = Array([Name.Indexed, Name.DeviceRGB, 15, table])
        made["/P"] = _image(
            pdf,
            _packed(quantized.point(lambda v: v * 16).convert("L", dither=None) if False else _indices(quantized), 4),
            75,
            55,
            BitsPerComponent=4,
            ColorSpace=space,
        )
        negative = {"BitsPerComponent": 8, "ColorSpace": Name.DeviceGray, "Decode": Array([1, 0])}
        made["/N"] = _image(pdf, grey.tobytes(), 75, 55, **negative)
        return Dictionary(made)

    return painted(title("Depths") + _shown("G1", "G2", "G4", "G8", "G16", "P", "N"), XObject=pictures)


def _indices(image: Image.Image) -> Image.Image:
    """The indices of a palette of 16, in the upper half of each octet."""
    return Image.frombytes("L", image.size, bytes(index << 4 for index in image.tobytes()))


def masks() -> bytes:
    """A stencil, a colour that is left out, a mask of another size, and a picture written into the page itself."""
    stencil = _packed(fax().resize((64, 48)).convert("L"), 1)

    def pictures(pdf: pikepdf.Pdf) -> Dictionary:
        flat = card(64, 48).quantize(4).convert("RGB")
        paper = flat.getpixel((1, 1))
        assert isinstance(paper, tuple)
        key = Array([int(value) for sample in paper for value in (sample, sample)])
        mask = _image(pdf, stencil, 64, 48, ImageMask=True, BitsPerComponent=1)
        rgb = {"BitsPerComponent": 8, "ColorSpace": Name.DeviceRGB}
        return Dictionary(
            S=_image(pdf, stencil, 64, 48, ImageMask=True, BitsPerComponent=1),
            K=_image(pdf, flat.tobytes(), 64, 48, Mask=key, **rgb),
            M=_image(pdf, card(32, 24).tobytes(), 32, 24, Mask=mask, **rgb),
        )

    inline = card(16, 12).convert("L").tobytes().hex()
    written = f"q 150 0 0 110 50 300 cm BI /W 16 /H 12 /BPC 8 /CS /G /F /AHx ID {inline}> EI Q\n"
    return painted(title("Masks") + "0.7 0 0 rg " + _shown("S", "K", "M") + written, XObject=pictures)


def jpeg_2000() -> bytes:
    """JPX pictures: colours, and grey without loss (ISO 32000-1 section 7.4.9)."""

    def pictures(pdf: pikepdf.Pdf) -> Dictionary:
        made = {}
        for name, image, lossy in (("/C", card(), True), ("/G", card().convert("L"), False)):
            file = io.BytesIO()
            image.save(file, "JPEG2000", irreversible=lossy)
            made[name] = _image(pdf, file.getvalue(), *image.size, Filter=Name.JPXDecode)
        return Dictionary(made)

    return painted(title("JPX") + _shown("C", "G"), XObject=pictures)


def jbig2() -> bytes:
    """A page of JBIG2 (ISO/IEC 14492): a generic region in MMR, which is what a fax of group 4 is."""
    sheet, file = fax(), io.BytesIO()
    sheet.save(file, "TIFF", compression="group4", strip_size=1 << 20)
    with Image.open(io.BytesIO(file.getvalue())) as tiff:
        start, length = tiff.tag_v2[273][0], tiff.tag_v2[279][0]  # type: ignore[attr-defined]
    lines = file.getvalue()[start : start + length]
    size = struct.pack(">2L", *sheet.size)
    page = size + struct.pack(">2LBH", 0, 0, 0, 0)
    region = size + struct.pack(">2LBB", 0, 0, 0, 1) + lines
    octets = struct.pack(">LBBBL", 0, 48, 0, 1, len(page)) + page
    octets += struct.pack(">LBBBL", 1, 38, 0, 1, len(region)) + region

    def pictures(pdf: pikepdf.Pdf) -> Dictionary:
        keys = {"BitsPerComponent": 1, "ColorSpace": Name.DeviceGray, "Filter": Name.JBIG2Decode}
        return Dictionary(J=_image(pdf, octets, *sheet.size, **keys))

    return painted(title("JBIG2") + "q 450 0 0 340 70 300 cm /J Do Q\n", XObject=pictures)


def by_img2pdf() -> bytes:
    """What scanners' programs make: JPEG, a fax of group 4 and a PNG, each on a page of its size (img2pdf)."""
    files = []
    for image, kind, options in (
        (card(800, 1100), "JPEG", {"dpi": (100, 100)}),
        (fax(1700, 1100), "TIFF", {"compression": "group4", "dpi": (200, 200)}),
        (card(), "PNG", {"dpi": (150, 150)}),
    ):
        file = io.BytesIO()
        image.save(file, kind, **options)  # type: ignore[arg-type]
        files.append(file.getvalue())
    made: bytes = img2pdf.convert(files, nodate=True)
    return made


def cmyk_jpeg() -> bytes:
    """A JPEG of four inks as Photoshop writes it, inverted."""

    def pictures(pdf: pikepdf.Pdf) -> Dictionary:
        file = io.BytesIO()
        card().convert("CMYK").save(file, "JPEG", quality=95)
        keys = {"BitsPerComponent": 8, "ColorSpace": Name.DeviceCMYK, "Filter": Name.DCTDecode}
        return Dictionary(C=_image(pdf, file.getvalue(), 320, 240, **keys, Decode=Array([1, 0] * 4)))

    return painted(title("CMYK JPEG") + "q 450 0 0 340 70 300 cm /C Do Q\n", XObject=pictures)


BITMAPS = tuple(
    Item(make=make, format=DocumentFormat.PDF) for make in (depths, masks, jpeg_2000, jbig2, by_img2pdf, cmyk_jpeg)
)
