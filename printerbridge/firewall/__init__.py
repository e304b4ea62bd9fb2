"""The print firewall: what of a sender's octets reaches a printer that is not drawn anew.  No I/O.

A printer makes no difference between a page and a command that changes the printer.  What is said around a document in
PJL is therefore never copied but read, and said anew from an allow list; what is in a page description of PCL or PCL XL
is looked through for what outlives the job.  PostScript and PDF are programs: they pass whole, or not at all.

`Filter` is the firewall for one document, `Unwrapper` takes the PJL off one that is drawn anew, `PlainText` is for
printers that print text as it comes, `refuse_uel` for what was drawn, `tell` the sentence for the job's trace.

Security: everything here reads strangers' octets, in pieces as they come, and keeps a few kilobytes at most.
"""

from printerbridge.firewall.commands import COMMANDS, tell
from printerbridge.firewall.filter import Filter
from printerbridge.firewall.sections import refuse_uel
from printerbridge.firewall.text import PlainText, plain_text
from printerbridge.firewall.unwrapper import Unwrapper

__all__ = ["COMMANDS", "Filter", "PlainText", "Unwrapper", "plain_text", "refuse_uel", "tell"]
