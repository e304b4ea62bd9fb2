"""Starting the SMTP receiver: the door for everybody, and the two for people with a login.

Security: it opens the ports to whoever reaches them; `connection` says what stands behind.
"""

from __future__ import annotations

from appliance.smtp.connection import Connection
from appliance.smtp.door import SMTP, SUBMISSION, SUBMISSIONS
from appliance.smtp.limits import Allowance, Limits
from appliance.smtp.receiver import Receiver
from appliance.smtp.site import Site
from appliance.tls import Certificate
from mailstore.config import Settings
from mailstore.directory.contract import Directory, People
from mailstore.store.contract import Store


async def start_smtp(
    settings: Settings,
    store: Store,
    directory: Directory,
    *,
    people: People | None = None,
    certificate: Certificate | None = None,
    limits: Limits | None = None,
) -> Receiver:
    """Listen where `[smtp]`, `[submission]` and `[submissions]` say.

    Without a certificate there is no TLS; without it or people, no door for logins.  Raises `PermanentFailure` when a
    port is taken, and then listens nowhere.
    """
    limits = limits or Limits()
    receiver = Receiver(
        Site(
            settings=settings,
            store=store,
            directory=directory,
            people=people,
            certificate=certificate,
            limits=limits,
            postmaster=Allowance(limits.postmaster_hourly, limits.postmaster_hourly_per_client),
        )
    )
    doors = [(SMTP, settings.smtp.listen)]
    if people is not None and certificate is not None:
        doors += [(SUBMISSION, settings.submission.listen), (SUBMISSIONS, settings.submissions.listen)]
    try:
        for door, where in doors:
            await receiver.listen(where, door, Connection)
    except BaseException:
        await receiver.close(0)
        raise
    return receiver
