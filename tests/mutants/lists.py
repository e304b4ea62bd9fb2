"""All defences, by what they defend."""

from __future__ import annotations

from typing import Final

from tests.mutants import Defence
from tests.mutants.house import HOUSE
from tests.mutants.mail import MAIL
from tests.mutants.papers import PAPERS
from tests.mutants.pop3 import POP3
from tests.mutants.proof import PROOF
from tests.mutants.smtp import SMTP
from tests.mutants.split import SPLIT
from tests.mutants.store import STORE
from tests.mutants.waiting import WAITING

SECTIONS: Final[dict[str, tuple[Defence, ...]]] = {
    "The mail itself": MAIL,
    "SMTP and submission": SMTP,
    "Who sent it": PROOF,
    "Split mail": SPLIT,
    "POP3": POP3,
    "What the store asks": STORE,
    "Documents and pictures of pages": PAPERS,
    "Jobs that wait for somebody": WAITING,
    "The house": HOUSE,
}
DEFENCES: Final = tuple(defence for section in SECTIONS.values() for defence in section)
