"""Starting the SMTP receiver.

Security: it opens the port to whoever reaches it; `connection` says what stands behind.
"""

from __future__ import annotations

from appliance.smtp.connection import Connection
from appliance.smtp.limits import Limits
from appliance.smtp.receiver import Receiver
from appliance.smtp.site import Site
from mailstore.config import Settings, split_endpoint
from mailstore.directory.contract import Directory
from mailstore.store.contract import Store


async def start_smtp(
    settings: Settings,
    store: Store,
    directory: Directory,
    *,
    host: str | None = None,
    port: int | None = None,
    limits: Limits | None = None,
) -> Receiver:
    """Listen for mail, by default where `[smtp] listen` says.  Raises `PermanentFailure` when the port is taken."""
    configured = split_endpoint(settings.smtp.listen)
    host = configured[0] if host is None else host
    port = configured[1] if port is None else port
    receiver = Receiver(Site(settings=settings, store=store, directory=directory, limits=limits or Limits()))
    await receiver.listen(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", Connection)
    return receiver
