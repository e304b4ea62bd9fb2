"""The converters: one file each, and one line each in the table below.

Among routes of the same length the first in the table wins, so PostScript level 3 comes before level 2.
"""

from __future__ import annotations

from printerbridge.converters import cairo, pcl, pclxl, pdfwrite, pwg, text
from printerbridge.converters.contract import Converter

CONVERTERS: tuple[Converter, ...] = (
    text.TEXT,
    cairo.LEVEL3,
    cairo.LEVEL2,
    cairo.AGAIN,
    pdfwrite.PDF,
    pclxl.PCLXL,
    pcl.PCL,
    pwg.PWG,
)
