"""What is said around a document and what the printer says of it, in whatever way it can say anything.  No I/O.

Printers that speak PJL are talked to by `printerbridge.pjl`, all others by `printerbridge.postscript`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from mailstore.job import DeliveryProof


class Exchange(Protocol):
    """Of one document over one connection."""

    @property
    def awaited(self) -> bool:
        """Whether the printer has still something to say, for which our side stays open."""

    @property
    def patient(self) -> bool:
        """Whether that is waited for as long as a printer prints, and not only as long as one takes to answer."""

    @property
    def settled(self) -> bool:
        """Whether a connection that is lost from now on leaves no doubt."""

    @property
    def proof(self) -> DeliveryProof:
        """What its words prove."""

    @property
    def stands(self) -> str:
        """The `printer-state-reasons` keyword for what it waits for, "" if it goes on."""

    @property
    def fault(self) -> str:
        """The same in a sentence."""

    @property
    def pages(self) -> int | None:
        """That it counted, None if it did not say so."""

    @property
    def result(self) -> str:
        """PJL's word for how the job ended, "" for none."""

    @property
    def errors(self) -> str:
        """What the document's program did wrong, by the printer's word; "" for nothing."""

    @property
    def failed(self) -> bool:
        """Whether these kept some of the document from being printed."""

    @property
    def out(self) -> int:
        """Pages that lie in the tray, of the whole document."""

    @property
    def before(self) -> int:
        """Octets that go before the document."""

    @property
    def farewell(self) -> bytes:
        """What goes when nothing more is to be heard, while our side is still open."""

    @property
    def breaking_off(self) -> bytes:
        """What goes in the middle of a document that is not wanted any more."""

    def dress(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The document with what goes around it, in no more pieces than it came in."""

    def hear(self, octets: bytes, *, whole: bool) -> bool:
        """Take what the printer said; `whole`: it has taken all of the document.  Whether anything new was in it."""

    def pause(self) -> None:
        """The printer has said no more for a while."""

    def goes_on(self) -> None:
        """It took octets after it had not for a while."""
