"""A message on its way from the data sink to its draft: the header looked at and cleaned, our trace field put in front.

Security: the header is kept in memory until it ends, up to a limit; behind it every block goes straight to the draft,
to the survey, and of BINARYMIME to what counts its lines, all of which bound what they keep.  After the first failure
nothing is taken any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from appliance.smtp.limits import Limits
from mailstore import header, mime
from mailstore.documents import Document, Surveyor
from mailstore.failure import Failure, PermanentFailure
from mailstore.reencode import Reencoder
from mailstore.store.contract import Draft

_AT_ONCE = 64 * 1024  # octets made into lines, so that they stay in the processor's cache


class Intake:
    """One message.  `write` takes its octets, unstuffed, cut anywhere, never ending within a CRLF."""

    def __init__(self, draft: Draft, *, trace: bytes, hostname: str, limits: Limits, binary: bool = False) -> None:
        self.draft = draft
        self.failure: Failure | None = None
        self.subject = ""
        self.message_id = ""
        self.automatic = False  # a program wrote it, so it is not answered
        self.pop3_octets = 0  # of BINARYMIME, made into lines
        self._trace = trace
        self._hostname = hostname
        self._limits = limits
        # The header is bounded here; what is made into lines has our trace field in front of it.
        nested = mime.Limits(header=limits.header + len(trace), depth=limits.mime_depth)
        self._survey = Surveyor(nested)
        self._reencoder = Reencoder(nested) if binary else None
        self._header: bytearray | None = bytearray()

    def write(self, octets: bytes | memoryview) -> None:
        if self.failure is not None:
            return
        try:
            if self._header is None:
                self._pass_on(octets)
            else:
                self._gather(octets)
        except Failure as failure:
            self.failure = failure

    def finish(self, *, to_print: bool) -> Sequence[Document]:
        """All octets have come.  Raises the first failure.

        Raises `PermanentFailure` ("5.6.1") if nothing is printable that is `to_print`.
        """
        if self.failure is None and self._header is not None:
            header_only, self._header = bytes(self._header), None
            self._begin(header_only, b"")
        if self.failure is not None:
            raise self.failure
        documents = self._survey.close()
        if to_print and not documents:
            raise self._survey.refusal()
        if self._reencoder is not None:
            self.pop3_octets += len(self._reencoder.end())
        return documents

    def _gather(self, octets: bytes | memoryview) -> None:
        assert self._header is not None
        seen = len(self._header)
        self._header += octets
        empty = self._header.startswith(b"\r\n")
        end = 0 if empty else self._header.find(b"\r\n\r\n", max(seen - 3, 0)) + 2
        if end == 1:  # not found
            self._bound(len(self._header))
            return
        block, rest = bytes(self._header[:end]), bytes(self._header[end:])
        self._header = None
        self._begin(block, rest)

    def _begin(self, block: bytes, rest: bytes) -> None:
        """Judge and clean the header, and pass it on with what has come behind it."""
        self._bound(len(block))
        hops = self._limits.hops
        if header.received(block, hops + 1) > hops:  # RFC 5321 section 6.3
            raise PermanentFailure("5.4.6", f"the message has passed more than {hops} servers: a mail loop")
        self.subject = header.subject(block)
        self.message_id = header.message_id(block)
        self.automatic = _automatic(block)
        # RFC 8601 section 5: nobody else may speak in our name.
        block = header.without_results_of(block, self._hostname)
        self.draft.write(self._trace)
        self._count(self._trace)
        self._pass_on(block + rest)

    def _pass_on(self, octets: bytes | memoryview) -> None:
        self.draft.write(octets)
        self._survey.feed(octets)
        self._count(octets)

    def _count(self, octets: bytes | memoryview) -> None:
        """Add what POP3 will send for `octets`."""
        if self._reencoder is not None:
            view = memoryview(octets)
            for start in range(0, len(view), _AT_ONCE):
                self.pop3_octets += len(self._reencoder.feed(view[start : start + _AT_ONCE]))

    def _bound(self, octets: int) -> None:
        if octets > self._limits.header:
            raise PermanentFailure("5.3.4", f"the header is longer than {self._limits.header} octets")


_NOT_ANSWERED = frozenset({b"bulk", b"list", b"junk"})


def _automatic(block: bytes) -> bool:
    """Whether a program or a mailing list sent this, which is not answered (RFC 3834 section 2).

    The field's own section 5 says "no" for people; what cannot be read is no "no".  Precedence is older than it.
    """
    for field in header.find(block, "auto-submitted", "precedence", "list-id"):
        if field.name == b"list-id":
            return True
        if field.name == b"precedence":
            if field.value.lower() in _NOT_ANSWERED:
                return True
        elif header.parameters(field.value)[0] != "no":
            return True
    return False
