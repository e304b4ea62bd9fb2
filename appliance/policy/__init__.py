"""Who may print where: a printer's rules, and what they say about one mail.  Closed by default.

Rules: `ada@example.com` (the envelope sender) · `@example.com` (its domain, none below it) · `group:staff` (a group of
the directory that the envelope sender is in) · `from:ada@example.com` (the one From author) · `ip:10.0.0.0/8` ·
`authenticated` (SMTP AUTH) · `*` (anyone who proves an address).  Deny rules first, then allow rules, none matched:
refused.  The null reverse-path never prints.

A mail is known step by step: at RCPT its sender, when its header ends the From author, when it ends what its signatures
prove.  So a verdict has three values, and one that is open says what it waits for.  A fact that comes later never turns
a verdict round; it may only raise the trust of a mail that prints anyway.

Security: an envelope sender and a From field are claims that cost nothing to make.  So an address only counts towards
*allow* when it is proved, unless the entry says `unverified-ok`; towards *deny* the claim is enough.  Who is denied is
that with a subaddress too and with every address of his login, and a deny rule of `from:` also refuses a mail with no
author or with several, one of whom may be meant.  Trust is given for the address by which a rule matched and for no
other, so that nobody who proves his own is trusted with somebody else's.  What a stranger is told names no rule and no
other sender, and is the same for one who is denied and one whom nobody listed.
"""

from appliance.policy.mail import Facts, Want
from appliance.policy.rules import KINDS, Kind, Rule, parse_rule
from appliance.policy.verdict import (
    NOBODY,
    NOT_ALLOWED,
    NOT_NOW,
    NOT_PROVED,
    Moment,
    Trust,
    Verdict,
    answerable,
    dmarc_refuses,
    insiders,
    judge,
    why,
)

__all__ = [
    "KINDS",
    "NOBODY",
    "NOT_ALLOWED",
    "NOT_NOW",
    "NOT_PROVED",
    "Facts",
    "Kind",
    "Moment",
    "Rule",
    "Trust",
    "Verdict",
    "Want",
    "answerable",
    "dmarc_refuses",
    "insiders",
    "judge",
    "parse_rule",
    "why",
]
