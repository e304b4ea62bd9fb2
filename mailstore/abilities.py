"""What the bridge of this house can open, and how well its converters are confined, as it told when it started.

The appliance asks before it takes a mail, so that the sender's own server tells him; where no bridge has told anything
yet, everything is taken in.  Pure.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from mailstore.directory.records import Raw
from mailstore.document_format import DocumentFormat
from mailstore.failure import PermanentFailure

_F = DocumentFormat
OFFICE = frozenset({_F.OLE, _F.DOCX, _F.XLSX, _F.PPTX, _F.ODT, _F.ODS, _F.ODP, _F.RTF})
"""What LibreOffice opens."""
RISKY = OFFICE | {_F.POSTSCRIPT, _F.EPS, _F.DOS_EPS}
"""Programs, and what has held them: of strangers only under a sandbox that counts as safe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """`level` is the sandbox's: bubblewrap, landlock or rlimits; `risky`: the site takes strangers' all the same."""

    level: str = "bubblewrap"
    safe: bool = True
    risky: bool = False
    office: bool = True

    def refusal(self, source: DocumentFormat, trust: str) -> PermanentFailure | None:
        """Why a document that has to be opened, from somebody of this trust, is not; None if it is."""
        if source in RISKY and not self.safe and not self.risky and trust == Raw.STRANGER:
            text = "documents of this format are not opened here for senders that are not proved; send it as PDF"
            return PermanentFailure("5.7.1", text, reason="document-security-error")
        if source in OFFICE and not self.office:
            text = "this server has no program for Office documents; send it as PDF"
            return PermanentFailure("5.6.1", text, reason="unsupported-document-format")
        return None

    def to_json(self) -> str:
        return json.dumps(asdict(self))


UNKNOWN = Abilities()


def from_json(text: str) -> Abilities:
    """`UNKNOWN` for "", and for what another version wrote."""
    try:
        return Abilities(**json.loads(text)) if text else UNKNOWN
    except (TypeError, ValueError):
        return UNKNOWN
