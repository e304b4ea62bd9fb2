# ruff: noqa: N802 - Twisted's names
"""TLS under a POP3 session, by Twisted and pyOpenSSL: from the first octet (RFC 8314) or after STLS (RFC 2595).

Security: a handshake is a stranger's octets, read by OpenSSL alone, and until it is complete the session neither hears
nor says anything.  TLS is 1.2 or later with forward secrecy, without compression and renegotiation; no session is
remembered here, so strangers leave nothing behind.  The end of TLS, by a closing alert or by octets that are none of
the client's, ends the line in both directions: what is said afterwards is lost, and the session is told so at once, or
it would take a message for delivered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from OpenSSL import SSL
from prometheus_client import Counter
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IProtocol
from twisted.internet.protocol import Factory
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from appliance.tls import CIPHERS, Certificate

FAILED = Counter("printpost_pop3_tls_handshakes_failed_total", "TLS handshakes on POP3 that did not come to an end.")

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@implementer(IOpenSSLServerConnectionCreator)
class TlsServer:
    """Puts TLS under connections, with the certificate as it is at that moment."""

    def __init__(self, certificate: Certificate) -> None:
        self._certificate = certificate
        self._context = _context(certificate)
        self._factory = TLSMemoryBIOFactory(self, False, Factory())
        certificate.reloaded.append(self._reload)

    def close(self) -> None:
        """Follow the certificate no longer.  May be called more than once."""
        if self._reload in self._certificate.reloaded:
            self._certificate.reloaded.remove(self._reload)

    def begin(self, wire: Any, protocol: IProtocol, closed: Callable[[bool], None]) -> BufferingTLSTransport:
        """The transport of `protocol` from now on; `wire` is the one that it had.

        `closed` is called when TLS has ended, with whether the client ended it as it should; what is said from then on
        does not reach it.
        """
        tls = _Tls(self._factory, protocol, _connectWrapped=False)
        tls.closed = closed
        wire.protocol = tls
        tls.makeConnection(wire)  # type: ignore[no-untyped-call]
        return tls

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:  # noqa: ARG002
        return SSL.Connection(self._context, None)

    def _reload(self) -> None:
        try:
            self._context = _context(self._certificate)
        except SSL.Error as error:  # written to once more in this very moment: it will be told again
            log.warning("pop3 certificate not taken up, the old one stays", why=str(error))


class _Tls(BufferingTLSTransport):
    """Twisted's, which at the end of TLS waits for a producer that cannot know of it."""

    closed: Callable[[bool], None]

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        super()._tlsShutdownFinished(reason)  # type: ignore[no-untyped-call]
        self.unregisterProducer()  # type: ignore[no-untyped-call]
        self.closed(reason is None)


def _context(certificate: Certificate) -> SSL.Context:
    chain, key = certificate.files
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(CIPHERS.encode())
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # a session that waits holds no buffers
    context.use_certificate_chain_file(str(chain))
    context.use_privatekey_file(str(key))
    context.check_privatekey()
    return context
