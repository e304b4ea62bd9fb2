"""Which languages a printer speaks, by any of the names under which it tells them.  No I/O.

Security: names are strangers' text.  They are only compared with ours; those that we do not know are cleaned, cut and
counted before anybody sees them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mailstore.directory.records import Language
from mailstore.header import clean

_BEST_FIRST: Final = (
    Language.POSTSCRIPT,
    Language.POSTSCRIPT2,
    Language.PDF,
    Language.PCLXL,
    Language.PCL,
    Language.PWG,
    Language.TEXT,
)
_MOST = 64  # names that are looked at
_CHARACTERS = 40  # of a name

# As COMMAND SET has them, in capitals and without blanks and signs: many makers, no standard.
_POSTSCRIPT = re.compile(
    r"(?:POSTSCRIPT|PS|BRSCRIPT|KPDL|PSPRINTER)(?:LANGUAGE|LEVEL|EMULATION)*([123]?)(?:EMULATION)?"
)
_NAMES: Final = (
    (re.compile(r"PCL(?:XL|6)[A-Z]?|PXL"), Language.PCLXL),
    (re.compile(r"PCL(?:5(?:C|E|CE)?)?"), Language.PCL),
    (re.compile(r"PDF[0-9]{0,2}"), Language.PDF),
    (re.compile(r"PWG(?:RASTER)?"), Language.PWG),
    (re.compile(r"TEXT|TXT|PLAINTEXT|SIMPLETEXT|ASCII"), Language.TEXT),
)
_FORMATS: Final = {
    "application/postscript": "postscript",
    "application/pdf": Language.PDF.value,
    "application/vnd.hp-pcl": Language.PCL.value,
    "application/pcl": Language.PCL.value,
    "application/x-pcl": Language.PCL.value,
    "application/vnd.hp-pclxl": Language.PCLXL.value,
    "application/x-pclxl": Language.PCLXL.value,
    "image/pwg-raster": Language.PWG.value,
    "text/plain": Language.TEXT.value,
}
# PrtInterpreterLangFamilyTC of IANA-PRINTER-MIB (RFC 3805).
_PJL, _POSTSCRIPT_FAMILIES = 5, frozenset({6, 42})
_FAMILIES: Final = {3: Language.PCL, 30: Language.TEXT, 47: Language.PCLXL, 54: Language.PDF}


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """What was said of a printer's languages.

    `said` are values of `Language`, "pjl", and "level-2" or "level-3" where PostScript's level was told, too.
    """

    said: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()  # names of languages that Printpost does not make

    @property
    def languages(self) -> tuple[Language, ...]:
        """Best first."""
        words = self.said
        if Language.POSTSCRIPT in words and "level-2" in words and "level-3" not in words:
            words = words - {Language.POSTSCRIPT} | {Language.POSTSCRIPT2}
        return tuple(language for language in _BEST_FIRST if language in words)

    @property
    def pjl(self) -> bool:
        return "pjl" in self.said

    def __or__(self, other: Speech) -> Speech:
        return Speech(said=self.said | other.said, others=self.others | other.others)

    def only(self, *languages: Language) -> Speech:
        """Without the other languages, and without what says something of them."""
        return Speech(said=self.said & {*languages, "level-2", "level-3"})


NOTHING: Final = Speech()


def by_commands(names: Iterable[str]) -> Speech:
    """By the values of an IEEE 1284 device ID's COMMAND SET."""
    speech = NOTHING
    for name in list(names)[:_MOST]:
        known = _command(name)
        if known is None:  # blanks apart stand words of one name, or names
            parts = [_command(part) or Speech(others=_shown(part)) for part in name.split()[:8]]
            known = _joined(parts) if any(part.said for part in parts) else Speech(others=_shown(name))
        speech |= known
    return speech


def by_formats(listed: str) -> Speech:
    """By a list of media types with commas, as a TXT record's `pdl` has it."""
    speech = NOTHING
    for text in listed.split(",")[:_MOST]:
        media_type = text.partition(";")[0].strip().lower()
        known = _FORMATS.get(media_type)
        speech |= Speech(said=frozenset({known})) if known else Speech(others=_shown(media_type))
    return speech


def by_interpreters(rows: Iterable[tuple[int, str]]) -> Speech:
    """By prtInterpreterLangFamily and prtInterpreterLangLevel (RFC 3805)."""
    said: set[str] = set()
    for family, level in list(rows)[:_MOST]:
        if family == _PJL:
            said.add("pjl")
        elif family in _POSTSCRIPT_FAMILIES:
            said |= _postscript(level.strip()[:1])
        elif family in _FAMILIES:
            said.add(_FAMILIES[family].value)
    return Speech(said=frozenset(said))


def _command(name: str) -> Speech | None:
    """None for a name that is not known."""
    bare = re.sub(r"[^A-Z0-9]", "", name[: 4 * _CHARACTERS].upper())
    if bare == "PJL":
        return Speech(said=frozenset({"pjl"}))
    if found := _POSTSCRIPT.fullmatch(bare):
        said = _postscript(found[1])
        return Speech(said=said) if said else Speech(others=_shown(name))
    for pattern, language in _NAMES:
        if pattern.fullmatch(bare):
            return Speech(said=frozenset({language.value}))
    return None


def _postscript(level: str) -> frozenset[str]:
    if level == "1":  # which no converter writes
        return frozenset()
    return frozenset({Language.POSTSCRIPT.value} | ({f"level-{level}"} if level in ("2", "3") else set()))


def _joined(parts: Iterable[Speech]) -> Speech:
    speech = NOTHING
    for part in parts:
        speech |= part
    return speech


def _shown(name: str) -> frozenset[str]:
    cleaned = clean(name, _CHARACTERS)
    return frozenset({cleaned}) if cleaned else frozenset()
