"""A message on its way from the data sink to its draft: the header looked at and cleaned, our trace field put in front.

Security: the header is kept in memory until it ends, up to a limit; behind it every block goes straight to the draft,
to the survey, to a digest, and of BINARYMIME to what counts its lines, all of which bound what they keep.  After the
first failure nothing is taken any more: what a verdict on the header refuses is never stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from appliance.smtp import heading
from appliance.smtp.heading import Heading
from appliance.smtp.limits import Limits
from mailstore import header, mime
from mailstore.documents import Survey, Surveyor
from mailstore.failure import Failure, PermanentFailure
from mailstore.partial import part_of
from mailstore.reencode import Reencoder
from mailstore.store.contract import Draft
from mailstore.store.splitting import Part

_AT_ONCE = 64 * 1024  # octets made into lines, so that they stay in the processor's cache

Onlooker = Callable[[bytes | memoryview], None]
"""Gets what stands behind the header, beginning with the empty line, cut anywhere; good until it returns."""


class Intake:
    """One message.  `write` takes its octets, unstuffed, cut anywhere, never ending within a CRLF."""

    def __init__(
        self,
        draft: Draft,
        *,
        trace: bytes,
        hostname: str,
        limits: Limits,
        binary: bool = False,
        to_print: bool = True,
        judged: Callable[[Heading], Onlooker | None] | None = None,
    ) -> None:
        """`judged` is called when the header has ended; what it raises (`Failure`) refuses the message."""
        self.draft = draft
        self.failure: Failure | None = None
        self.heading = Heading(block=b"", subject="", message_id="")  # until it has come
        self.part: Part | None = None  # what it says of being one, where it is to be printed
        self.pop3_octets = 0  # of BINARYMIME, made into lines
        self._to_print = to_print
        self._judged = judged
        self._onlooker: Onlooker | None = None
        self._digest = hashlib.sha256() if to_print else None
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

    @property
    def content(self) -> bytes:
        """Digest of what stands behind the header; b"" where the same mail could not be told from another like it."""
        return self._digest.digest() if self._digest is not None and self.heading.message_id else b""

    def finish(self) -> Survey:
        """All octets have come: what it holds.  Raises the first failure.

        Raises `PermanentFailure` ("5.6.1") if nothing prints anywhere that is to be printed; of a part nobody can tell.
        """
        if self.failure is None and self._header is not None:
            header_only, self._header = bytes(self._header), None
            self._begin(header_only, b"")
        if self.failure is not None:
            raise self.failure
        survey = self._survey.close()
        if self._to_print and not survey.printable and self.part is None:
            raise survey.refusal()
        if self._reencoder is not None:
            self.pop3_octets += len(self._reencoder.end())
        return survey

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
        self.heading = heading.read(block)
        if self._to_print and self.heading.partial:
            self.part = part_of(block)
        if self._judged is not None:
            self._onlooker = self._judged(self.heading)
        if not self.heading.message_id:
            self._digest = None
        # RFC 8601 section 5: nobody else may speak in our name.
        block = header.without_results_of(block, self._hostname)
        self.draft.write(self._trace)
        self._count(self._trace)
        self._keep(block + rest)
        self._look_at(rest)

    def _pass_on(self, octets: bytes | memoryview) -> None:
        self._keep(octets)
        self._look_at(octets)

    def _keep(self, octets: bytes | memoryview) -> None:
        self.draft.write(octets)
        self._survey.feed(octets)
        self._count(octets)

    def _look_at(self, octets: bytes | memoryview) -> None:
        if self._digest is not None:
            self._digest.update(octets)
        if self._onlooker is not None:
            self._onlooker(octets)

    def _count(self, octets: bytes | memoryview) -> None:
        """Add what POP3 will send for `octets`."""
        if self._reencoder is not None:
            view = memoryview(octets)
            for start in range(0, len(view), _AT_ONCE):
                self.pop3_octets += len(self._reencoder.feed(view[start : start + _AT_ONCE]))

    def _bound(self, octets: int) -> None:
        if octets > self._limits.header:
            raise PermanentFailure("5.3.4", f"the header is longer than {self._limits.header} octets")
