"""The converters: one file each, and one line each in the table below.

Among routes of the same cost the first in the table wins, so PostScript level 3 comes before level 2.  What works on a
PDF and gives a PDF (`arrange`, `mono`) is not in it: it is gone through when it is asked for.
"""

from __future__ import annotations

from printerbridge.converters import cairo, eps, html, office, pcl, pclxl, pdfwrite, pictures, pwg, raster, text
from printerbridge.converters.contract import Converter

CONVERTERS: tuple[Converter, ...] = (
    text.TEXT,
    html.HTML,
    *pictures.PICTURES,
    *office.OFFICE,
    *raster.RASTERS,
    eps.EPS,
    eps.DOS_EPS,
    cairo.LEVEL3,
    cairo.LEVEL2,
    cairo.AGAIN,
    pdfwrite.PDF,
    pclxl.PCLXL,
    pcl.PCL,
    pwg.PWG,
)
