"""PDFs with what a page can be painted with: see-through things, shadings, patterns, inks, layers, fonts."""

from __future__ import annotations

import io

import pikepdf
from pikepdf import Array, Dictionary, Name, Stream

from mailstore.document_format import DocumentFormat
from tests.corpus.item import Item


def painted(content: str, **resources: object) -> bytes:
    """One A4 page with `content`, with a title in /F1 and its resources; `resources` may hold functions of the PDF."""
    file = io.BytesIO()
    with pikepdf.new() as pdf:
        made = {key: value(pdf) if callable(value) else value for key, value in resources.items()}
        layers = made.pop("layers", None)
        font = Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name("/Helvetica-Bold"))
        made["Font"] = Dictionary({**made.pop("Font", {}), "/F1": font})
        page = Dictionary(
            Type=Name.Page,
            MediaBox=Array([0, 0, 595, 842]),
            Contents=pdf.make_stream(content.encode("latin-1")),
            Resources=Dictionary({f"/{key}": value for key, value in made.items()}),
        )
        pdf.pages.append(pikepdf.Page(pdf.make_indirect(page)))
        if layers is not None:
            pdf.Root.OCProperties = layers
        pdf.save(file, min_version="1.7")
    return file.getvalue()


def title(text: str) -> str:
    return f"BT /F1 30 Tf 60 760 Td ({text}) Tj ET\n"


_DISCS = "".join(
    f"{r} {g} {b} rg {x} {y} 150 150 re f\n"
    for x, y, r, g, b in ((100, 500, 1, 0, 0), (180, 440, 0, 0.7, 0), (140, 560, 0, 0, 1))
)


def transparency() -> bytes:
    """Constant alpha, a group that is seen through as one, and blend modes."""
    modes = ("Multiply", "Screen", "Darken", "Difference", "Luminosity")
    states = {f"/B{number}": Dictionary(BM=Name(f"/{mode}"), ca=0.8) for number, mode in enumerate(modes)}
    blends = "".join(
        f"q 0.2 0.4 0.8 rg {60 + 100 * n} 120 80 160 re f /B{n} gs 0.9 0.6 0.1 rg {80 + 100 * n} 90 80 120 re f Q\n"
        for n in range(len(modes))
    )

    def group(pdf: pikepdf.Pdf) -> Dictionary:
        form = Stream(pdf, _DISCS.encode(), Subtype=Name.Form, BBox=Array([0, 0, 595, 842]))
        form.Resources = Dictionary()
        form.Group = Dictionary(S=Name.Transparency, I=True, CS=Name.DeviceRGB)
        return Dictionary(G=pdf.make_indirect(form))

    states["/A"] = Dictionary(ca=0.5, CA=0.5)
    content = title("Transparency") + f"q /A gs {_DISCS} Q q /A gs 1 0 0 1 240 0 cm /G Do Q\n" + blends
    return painted(content, ExtGState=Dictionary(states), XObject=group)


def soft_masks() -> bytes:
    """A luminosity mask over a fill, and a picture with a mask of its own."""

    def states(pdf: pikepdf.Pdf) -> Dictionary:
        shading = Dictionary(
            ShadingType=2,
            ColorSpace=Name.DeviceGray,
            Coords=Array([80, 0, 500, 0]),
            Function=Dictionary(FunctionType=2, Domain=Array([0, 1]), C0=Array([0]), C1=Array([1]), N=1),
            Extend=Array([True, True]),
        )
        form = Stream(pdf, b"/S sh", Subtype=Name.Form, BBox=Array([0, 0, 595, 842]))
        form.Resources = Dictionary(Shading=Dictionary(S=shading))
        form.Group = Dictionary(S=Name.Transparency, CS=Name.DeviceGray)
        mask = Dictionary(S=Name.Luminosity, G=pdf.make_indirect(form))
        return Dictionary(M=Dictionary(SMask=mask), N=Dictionary(SMask=Name("/None")))

    def picture(pdf: pikepdf.Pdf) -> Dictionary:
        ramp = bytes(range(0, 256, 4)) * 64
        mask = Stream(
            pdf, ramp, Subtype=Name.Image, Width=64, Height=64, BitsPerComponent=8, ColorSpace=Name.DeviceGray
        )
        image = Stream(pdf, bytes((180, 20, 20)) * 16, Subtype=Name.Image, Width=4, Height=4, BitsPerComponent=8)
        image.ColorSpace, image.SMask = Name.DeviceRGB, pdf.make_indirect(mask)
        return Dictionary(I=pdf.make_indirect(image))

    content = title("Soft masks") + "q /M gs 0 0 0.6 rg 80 480 420 200 re f Q q 400 0 0 200 90 200 cm /I Do Q\n"
    return painted(content, ExtGState=states, XObject=picture)


def shadings() -> bytes:
    """Axial, radial, by a function, and a free-form triangle mesh (types 1 to 4)."""
    ends = Dictionary(FunctionType=2, Domain=Array([0, 1]), C0=Array([1, 0.9, 0]), C1=Array([0.1, 0, 0.6]), N=1)

    def all_of_them(pdf: pikepdf.Pdf) -> Dictionary:
        rgb, extend = Name.DeviceRGB, Array([True, False])
        axial = Dictionary(ShadingType=2, ColorSpace=rgb, Coords=Array([60, 0, 280, 0]), Function=ends, Extend=extend)
        radial = Dictionary(
            ShadingType=3, ColorSpace=rgb, Coords=Array([420, 600, 10, 430, 590, 110]), Function=ends, Extend=extend
        )
        program = Stream(pdf, b"{ 2 copy mul 3 1 roll }", FunctionType=4, Domain=Array([0, 1, 0, 1]))
        program.Range = Array([0, 1, 0, 1, 0, 1])
        by_function = Dictionary(
            ShadingType=1, ColorSpace=rgb, Matrix=Array([200, 0, 0, 200, 60, 200]), Function=pdf.make_indirect(program)
        )
        corners = ((0, 0, 0, (255, 0, 0)), (0, 255, 0, (0, 255, 0)), (0, 128, 255, (0, 0, 128)))
        mesh = Stream(pdf, b"".join(bytes((flag, x, y, *color)) for flag, x, y, color in corners), ShadingType=4)
        mesh.ColorSpace, mesh.Decode = rgb, Array([330, 530, 200, 400, 0, 1, 0, 1, 0, 1])
        mesh.BitsPerCoordinate = mesh.BitsPerComponent = mesh.BitsPerFlag = 8
        made = {"/A": axial, "/R": radial, "/F": by_function, "/M": pdf.make_indirect(mesh)}
        return Dictionary(made)

    content = title("Shadings") + "q 60 490 220 220 re W n /A sh Q /R sh /F sh /M sh\n"
    return painted(content, Shading=all_of_them)


def patterns() -> bytes:
    """Tiles with colours of their own and in the colour of who paints, and a shading as a pattern on text."""

    def all_of_them(pdf: pikepdf.Pdf) -> Dictionary:
        def tile(kind: int, content: bytes) -> pikepdf.Object:
            made = Stream(pdf, content, PatternType=1, PaintType=kind, TilingType=1, BBox=Array([0, 0, 40, 40]))
            made.XStep = made.YStep = 40
            made.Resources = Dictionary()
            return pdf.make_indirect(made)

        ends = Dictionary(FunctionType=2, Domain=Array([0, 1]), C0=Array([0, 0.5, 0]), C1=Array([0.8, 0, 0]), N=1)
        shading = Dictionary(ShadingType=2, ColorSpace=Name.DeviceRGB, Coords=Array([60, 0, 520, 0]), Function=ends)
        return Dictionary(
            C=tile(1, b"0.8 0.2 0.2 rg 4 4 20 20 re f 0.1 0.1 0.6 rg 24 24 12 12 re f"),
            U=tile(2, b"20 20 m 36 20 l 20 36 l f 2 2 12 12 re f"),
            S=Dictionary(PatternType=2, Shading=shading),
        )

    content = (
        title("Patterns") + "/Pattern cs /C scn 60 480 220 220 re f /P cs 0.2 0.5 0.3 /U scn 310 480 220 220 re f\n"
        "/Pattern cs /S scn BT /F1 90 Tf 60 300 Td (Shaded) Tj ET\n"
    )
    return painted(content, Pattern=all_of_them, ColorSpace=Dictionary(P=Array([Name.Pattern, Name.DeviceRGB])))


def cmyk() -> bytes:
    """Process colours, pure and mixed, and black on all four inks."""
    inks = ("1 0 0 0", "0 1 0 0", "0 0 1 0", "0 0 0 1", "1 1 0 0", "0 1 1 0", "1 0 1 0", ".6 .4 .4 1", "0 0 0 .5")
    boxes = "".join(f"{ink} k {60 + 160 * (n % 3)} {540 - 170 * (n // 3)} 140 140 re f\n" for n, ink in enumerate(inks))
    return painted("0 0 0 1 k " + title("CMYK") + boxes)


def spot_colors() -> bytes:
    """A separation with its own function, /All, /None, and two inks together (DeviceN)."""

    def spaces(pdf: pikepdf.Pdf) -> Dictionary:
        orange = Dictionary(FunctionType=2, Domain=Array([0, 1]), C0=Array([0, 0, 0, 0]), C1=Array([0, 0.6, 1, 0]), N=1)
        black = Dictionary(FunctionType=2, Domain=Array([0, 1]), C0=Array([0, 0, 0, 0]), C1=Array([0, 0, 0, 1]), N=1)
        both = Stream(pdf, b"{ 0 0 4 2 roll }", FunctionType=4, Domain=Array([0, 1, 0, 1]))
        both.Range = Array([0, 1] * 4)
        two = Array([Name("/Gold"), Name("/Steel")])
        return Dictionary(
            O=Array([Name.Separation, Name("/PANTONE#20Orange"), Name.DeviceCMYK, orange]),
            A=Array([Name.Separation, Name.All, Name.DeviceCMYK, black]),
            N=Array([Name.DeviceN, two, Name.DeviceCMYK, pdf.make_indirect(both)]),
        )

    boxes = (
        "/O cs 1 scn 60 500 200 200 re f 0.4 scn 320 500 200 200 re f /A cs 0.8 scn 60 260 200 200 re f\n"
        "/N cs 0.7 0.3 scn 320 260 200 200 re f\n"
    )
    return painted(title("Spot colours") + boxes, ColorSpace=spaces)


def color_spaces() -> bytes:
    """Lab, calibrated grey and RGB, and a palette over RGB."""
    white = Array([0.9505, 1, 1.089])
    palette = pikepdf.String(bytes((200, 0, 0, 0, 120, 0, 0, 0, 200)))
    spaces = Dictionary(
        L=Array([Name.Lab, Dictionary(WhitePoint=white, Range=Array([-100, 100, -100, 100]))]),
        G=Array([Name.CalGray, Dictionary(WhitePoint=white, Gamma=2.2)]),
        R=Array([Name.CalRGB, Dictionary(WhitePoint=white, Gamma=Array([2.2, 2.2, 2.2]))]),
        I=Array([Name.Indexed, Name.DeviceRGB, 2, palette]),
    )
    boxes = (
        "/L cs 50 60 -50 sc 60 500 200 200 re f /G cs 0.5 sc 320 500 200 200 re f /R cs 0.7 0.2 0.2 sc\n"
        "60 260 200 200 re f /I cs 1 sc 320 260 200 200 re f\n"
    )
    return painted(title("Colour spaces") + boxes, ColorSpace=spaces)


def type_3_font() -> bytes:
    """A font whose letters are drawings in the colour of the text; in their own pdftocairo 22.12 does not draw them."""

    def fonts(pdf: pikepdf.Pdf) -> dict[str, pikepdf.Object]:
        square = pdf.make_stream(b"1000 0 0 0 800 800 d1 0 0 800 800 re f")
        stripes = pdf.make_stream(b"1000 0 0 0 800 800 d1 0 0 800 200 re f 0 400 800 200 re f")
        font = Dictionary(
            Type=Name.Font,
            Subtype=Name.Type3,
            FontBBox=Array([0, 0, 1000, 1000]),
            FontMatrix=Array([0.001, 0, 0, 0.001, 0, 0]),
            CharProcs=Dictionary(square=square, stripes=stripes),
            Encoding=Dictionary(Type=Name.Encoding, Differences=Array([97, Name.square, Name.stripes])),
            FirstChar=97,
            LastChar=98,
            Widths=Array([1000, 1000]),
            Resources=Dictionary(),
        )
        return {"/T3": pdf.make_indirect(font)}

    content = title("Type 3") + "0 0.5 0 rg BT /T3 60 Tf 60 560 Td (abab) Tj /T3 18 Tf 0 -120 Td (aabbaabbab) Tj ET\n"
    return painted(content, Font=fonts)


def layers() -> bytes:
    """One layer that is shown, one that is hidden, one that is hidden and only there in another reader's state."""

    def made(pdf: pikepdf.Pdf) -> Dictionary:
        groups = [pdf.make_indirect(Dictionary(Type=Name.OCG, Name=name)) for name in ("shown", "hidden", "late")]
        shown.extend(groups)
        default = Dictionary(Order=Array(groups), ON=Array(groups[:1]), OFF=Array(groups[1:]))
        return Dictionary(OCGs=Array(groups), D=default)

    shown: list[pikepdf.Object] = []

    def properties(pdf: pikepdf.Pdf) -> Dictionary:
        found = dict(zip(("/A", "/B", "/C"), shown, strict=True))
        any_on = Dictionary(Type=Name.OCMD, OCGs=Array(shown[1:]), P=Name.AnyOn)
        return Dictionary({**found, "/D": pdf.make_indirect(any_on)})

    boxes = "".join(
        f"/OC /{layer} BDC {60 + 130 * n} 400 100 200 re f EMC\n" for n, layer in enumerate(("A", "B", "C", "D"))
    )
    return painted(title("Layers") + boxes, layers=made, Properties=properties)


def clipped_text() -> bytes:
    """Text as a clip, outlined, invisible, raised, stretched and turned."""
    content = (
        title("Text modes") + "q BT /F1 90 Tf 7 Tr 60 600 Td (Clipped) Tj ET 0.7 0.1 0.1 rg 0 620 595 24 re f\n"
        "0.1 0.1 0.7 rg 0 600 595 16 re f Q BT /F1 60 Tf 1 Tr 60 480 Td (Outline) Tj 3 Tr 0 -60 Td (Unseen) Tj ET\n"
        "BT /F1 30 Tf 0 Tr 60 Tz 60 330 Td (Narrow) Tj 140 Tz 10 Ts (Wide) Tj ET\n"
        "BT /F1 30 Tf 0.7 0.7 -0.7 0.7 380 200 Tm (Slanting) Tj ET 6 w [20 8] 0 d 60 120 m 500 120 l S\n"
    )
    return painted(content)


GRAPHICS = tuple(
    Item(make=make, format=DocumentFormat.PDF)
    for make in (
        transparency,
        soft_masks,
        shadings,
        patterns,
        cmyk,
        spot_colors,
        color_spaces,
        type_3_font,
        layers,
        clipped_text,
    )
)
