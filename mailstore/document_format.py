"""What documents can be."""

from __future__ import annotations

from enum import StrEnum


class DocumentFormat(StrEnum):
    """`document-format` (RFC 8011 section 5.4.22): the MIME media types that Printpost tells apart."""

    POSTSCRIPT = "application/postscript"
    PDF = "application/pdf"
    PCL = "application/vnd.hp-pcl"
    PCLXL = "application/vnd.hp-pclxl"
    PWG = "image/pwg-raster"
    TEXT = "text/plain"
    OCTETS = "application/octet-stream"
    EPS = "application/eps"
    DOS_EPS = "application/x-dos-eps"  # EPS behind a binary header, with a preview
    PCLM = "application/pclm"
    HPGL = "application/vnd.hp-hpgl"
    ESCP = "application/vnd.epson.escpr"
    CUPS_RASTER = "application/vnd.cups-raster"
    URF = "image/urf"
    JPEG = "image/jpeg"
    PNG = "image/png"
    TIFF = "image/tiff"
    GIF = "image/gif"
    WEBP = "image/webp"
    HEIC = "image/heic"  # a telephone's photograph
    HEIF = "image/heif"
    AVIF = "image/avif"
    OLE = "application/x-ole-storage"  # Microsoft Office before 2007
    DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
    ODT = "application/vnd.oasis.opendocument.text"
    ODS = "application/vnd.oasis.opendocument.spreadsheet"
    ODP = "application/vnd.oasis.opendocument.presentation"
    XPS = "application/oxps"
    ZIP = "application/zip"
    TNEF = "application/ms-tnef"  # Outlook's winmail.dat
    RTF = "application/rtf"
    HTML = "text/html"
