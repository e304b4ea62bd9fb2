"""What people are told of a printer: that it stops, that something runs low, and that this is over.  No I/O.

Security: what a printer says is a stranger's text, as in `notices`; all of it is cleaned and cut.
"""

from __future__ import annotations

from collections.abc import Iterable

from appliance.episodes import Kind, News
from appliance.letter import Letter, cut, laid_out, lasting, moment
from appliance.notices import DAY, KEPT, Letterhead, described, link, message_id, queued, reasons_of
from mailstore.condition import in_words
from mailstore.directory.records import Printer
from mailstore.store.outbox import OutgoingMail

REMEDIES: dict[str, str] = {
    "connecting-to-device": "See whether it is switched on and connected.",
    "timed-out": "See what its panel says: it may want paper, or a cover may be open.",
    "media-empty": "Load paper.",
    "media-needed": "Load the paper that its panel asks for.",
    "media-low": "Load paper soon.",
    "media-jam": "Clear the paper path.",
    "door-open": "Close it.",
    "cover-open": "Close it.",
    "interlock-open": "Close its covers.",
    "input-tray-missing": "Put the tray in.",
    "output-tray-missing": "Put the tray in.",
    "output-area-full": "Take the paper away.",
    "output-area-almost-full": "Take the paper away soon.",
    "marker-supply-empty": "Replace it.",
    "marker-supply-low": "Have a new one at hand.",
    "marker-supply-missing": "Put it in.",
    "toner-empty": "Replace the cartridge.",
    "toner-low": "Have a new cartridge at hand.",
    "developer-empty": "Replace it.",
    "developer-low": "Have a new one at hand.",
    "marker-waste-full": "Replace the waste container.",
    "marker-waste-almost-full": "Have a new waste container at hand.",
    "fuser-over-temp": "Let it cool down; call for service if it happens again.",
    "fuser-under-temp": "Let it warm up; call for service if it happens again.",
    "opc-life-over": "Replace the drum.",
    "opc-near-eol": "Have a new drum at hand.",
    "offline": "Put it on line at its panel.",
    "shutdown": "Switch it on.",
}
"""What to do about a `printer-state-reasons` keyword; of any other, its panel says."""


def of_news(head: Letterhead, news: News, to: str) -> str:
    """The Message-ID of what is told of a printer: of one occurrence, one thing may begin and another be over."""
    part = ("" if news.kind is Kind.TROUBLE else f".{news.kind}") + ".over" * news.over
    return message_id(head, news.occurrence, to, part)


def about_printer(head: Letterhead, news: News, printer: Printer, *, to: str, now: float) -> OutgoingMail:
    """Trouble, a warning, or the end of it, for one recipient; all of one trouble are one thread for each."""
    occurrence = news.occurrence
    why = ("Reason", cut(", ".join(news.reasons))) if news.over else reasons_of(occurrence)
    facts = [("Printer", described(printer)), why]
    subject, said, to_do = _over(news, printer) if news.over else _begun(news, printer)
    facts.insert(0, ("Since", moment(occurrence.at if news.over else news.began or occurrence.at)))
    facts += [] if news.over else [("Details", cut(occurrence.detail))]
    letter = Letter(
        name=f"Printpost on {head.hostname}",
        sender=head.sender,
        to=to,
        subject=subject,
        text=laid_out(said, facts, [*to_do, link(head, f"/printers/{printer.name}")]),
        at=now,
        message_id=of_news(head, news, to),
        thread=(news.told[to],) if to in news.told else (),
    )
    return queued(letter, occurrence, now, DAY if news.kind is Kind.WARNING else KEPT[occurrence.occasion])


_Told = tuple[str, str, list[str]]
"""Subject, what happened, what is to be done."""


def _begun(news: News, printer: Printer) -> _Told:
    reasons = news.reasons[:5]
    trouble = _all(reasons)
    remedies = " ".join(dict.fromkeys(REMEDIES.get(word, "See what its panel says.") for word in reasons))
    subject = f"{printer.name}: {trouble}"
    if news.kind is Kind.WARNING:
        return subject, f"{printer.name} goes on printing, but {trouble}.", [remedies]
    return (
        subject,
        f"{printer.name} needs a hand: {trouble}.",
        [remedies, "Jobs wait meanwhile and go on by themselves."],
    )


def _over(news: News, printer: Printer) -> _Told:
    lasted = f" after {lasting(news.occurrence.at - news.began)}" if news.began else ""
    if news.kind is Kind.WARNING:
        was = _all(news.reasons[:5])
        return (
            f"{printer.name}: no longer: {was}",
            f"At {printer.name} it is over{lasted}: {was}.",
            ["Nothing is to be done."],
        )
    to_do = ["Nothing is to be done; jobs that waited go on."]
    return f"{printer.name}: works again", f"{printer.name} works again{lasted}.", to_do


def _all(reasons: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(cut(in_words(word), 60) for word in reasons))
