"""Whose certificates an agent believes when it calls a server over TLS."""

import functools
import ssl

import httpx


@functools.cache
def trusted() -> ssl.SSLContext:
    """The authorities this machine trusts, and the well-known ones; with SSL_CERT_FILE or SSL_CERT_DIR set, those."""
    context = httpx.create_ssl_context()
    context.load_default_certs()
    return context
