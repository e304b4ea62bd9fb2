"""A connection goes under TLS: by STARTTLS (RFC 3207), or at once where the door wants it (RFC 8314).

Security: a handshake costs us more than the client, so it has a deadline and the connection is counted before it
begins.  Whoever reads from a transport that is handed in here must have paused it and taken everything out: what came
in clear must not be read as if it had come under TLS.  A handshake that fails is the client's affair and no error.
"""

from __future__ import annotations

import asyncio

import structlog
from prometheus_client import Counter

from appliance.smtp.limits import Limits
from appliance.tls import Certificate

SECURED = Counter("printpost_smtp_tls_connections_total", "Connections that came under TLS")
FAILED = Counter("printpost_smtp_tls_failures_total", "TLS handshakes that failed")

log = structlog.get_logger()


async def shake_hands(
    transport: asyncio.Transport, protocol: asyncio.Protocol, certificate: Certificate, limits: Limits, client_ip: str
) -> asyncio.Transport | None:
    """The transport to use from now on; None, and the connection is closed, if they did not come to terms."""
    try:
        secured = await asyncio.get_running_loop().start_tls(
            transport,
            protocol,
            certificate.context,
            server_side=True,
            ssl_handshake_timeout=limits.handshake_seconds,
            ssl_shutdown_timeout=limits.parting_seconds,
        )
    except OSError as error:  # ssl.SSLError among them
        tell_failed(error, client_ip)
        transport.abort()
        return None
    except BaseException:  # we are going down
        transport.abort()
        raise
    if secured is not None:  # it is where the connection was lost in this moment
        SECURED.inc()
    return secured


def tell_failed(error: OSError, client_ip: str) -> None:
    """Count and log a handshake that came to nothing."""
    FAILED.inc()
    log.info("TLS handshake failed", client=client_ip, why=getattr(error, "reason", None) or type(error).__name__)


def tell_secured(transport: asyncio.Transport, client_ip: str) -> None:
    """Log what was agreed on (RFC 8314 section 4.3)."""
    tls = transport.get_extra_info("ssl_object")
    cipher = tls.cipher()
    log.info("TLS agreed", client=client_ip, version=tls.version(), cipher=cipher[0] if cipher else "")
