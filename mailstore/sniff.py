"""What a document is, judged by its first octets.

Security: reads strangers' octets.  It looks only at a bounded prefix (`PREFIX_OCTETS`), never decompresses, never calls
a library that parses, and a wrong guess can only choose a wrong converter, which runs confined.
"""

from __future__ import annotations

from enum import StrEnum

PREFIX_OCTETS = 8192


class DocumentFormat(StrEnum):
    """`document-format` (RFC 8011 section 5.4.22): the MIME media types that Printpost tells apart."""

    POSTSCRIPT = "application/postscript"
    PDF = "application/pdf"
    PCL = "application/vnd.hp-pcl"
    PCLXL = "application/vnd.hp-pclxl"
    PWG = "image/pwg-raster"
    TEXT = "text/plain"
    OCTETS = "application/octet-stream"
