"""HTTP clients: pooled, one for threads and one per event loop, and never carried into a forked child."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import ssl
import threading
import urllib.request
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from litellm_antigravity.errors import SettingsError
from litellm_antigravity.forking import ForkAware
from litellm_antigravity.wire.aiohttp_transport import AiohttpTransport
from litellm_antigravity.wire.backends import watch_deadlines

_Client = TypeVar("_Client", httpx.Client, httpx.AsyncClient)
_Made = TypeVar("_Made")

_KEEPALIVE_SECONDS = 60.0
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=_KEEPALIVE_SECONDS)
_PROXIES = {"http", "https", "all"}
_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


class _NoCookies(httpx.Cookies):
    """Keeps none: one account's would go out with another's requests."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Do nothing."""


class _SyncClient(httpx.Client):
    cookies: Any = _NoCookies()


class _AsyncClient(httpx.AsyncClient):
    cookies: Any = _NoCookies()


class HttpClients(ForkAware):
    """Gives out clients that are opened when first needed.

    Proxies and certificates from the environment are honoured (httpx's ``trust_env``). Redirects are not followed: a
    bearer token goes to the endpoint of the settings and nowhere else. Cookies are not kept.

    Event loops are served by aiohttp's connections, unless the environment names a proxy, which httpx knows better.
    """

    def __init__(self) -> None:
        self._after_fork_in_child()
        self._watch_forks()

    def _after_fork_in_child(self) -> None:
        # The parent's sockets are dropped, not closed: a TLS goodbye from here would end the parent's connections.
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._sync: httpx.Client | None = None
        self._async: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = (
            weakref.WeakKeyDictionary()
        )

    def prepare(self) -> None:
        """Read the certificate store: tens of milliseconds, once. Do it before an account is chosen, in a thread.

        Raises:
            SettingsError: see `sync`.
        """
        if self._context is None:
            with self._lock:
                _usable(self._certificates)

    def _certificates(self) -> ssl.SSLContext:
        if self._context is None:
            context = httpx.create_ssl_context()
            context.set_alpn_protocols(["http/1.1"])
            self._context = context
        return self._context

    def _made(self, kind: Callable[..., _Client]) -> _Client:
        context = self._certificates()
        proxies = bool(_PROXIES & urllib.request.getproxies().keys())
        if kind is _AsyncClient and not proxies:
            return kind(transport=AiohttpTransport(context, _KEEPALIVE_SECONDS))
        # Without a proxy, what NO_PROXY says is nothing to fail at.
        client = kind(limits=_LIMITS, verify=context, trust_env=proxies)
        watch_deadlines(client)
        return client

    def sync(self) -> httpx.Client:
        """Return the client for threads.

        Raises:
            SettingsError: when a proxy or a certificate file that the environment names cannot be used.
        """
        if self._sync is None:
            with self._lock:
                if self._sync is None:
                    self._sync = _usable(lambda: self._made(_SyncClient))
        return self._sync

    def asynchronous(self) -> httpx.AsyncClient:
        """Return the client of the running event loop.

        Raises:
            RuntimeError: outside of an event loop.
            SettingsError: see `sync`.
        """
        loop = asyncio.get_running_loop()
        client = self._async.get(loop)
        if client is None or client.is_closed:
            with self._lock:
                # A client's connections hold their loop, so that its entry would never go away by itself.
                for ended in [known for known in self._async if known.is_closed()]:
                    del self._async[ended]
                client = self._async[loop] = _usable(lambda: self._made(_AsyncClient))
        return client

    def close(self) -> None:
        """Close the client for threads; those of event loops go with their loops."""
        if self._sync is not None:
            self._sync.close()
            self._sync = None


def _usable(make: Callable[[], _Made]) -> _Made:
    """Make something of what the environment says; what it says may be of no use."""
    try:
        return make()
    except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
        what = type(error).__name__
    raise SettingsError(_no_client(what))  # out here: what httpx says may quote a proxy's password


def _no_client(what: str) -> str:
    """Return what to tell people whose environment keeps a client from being made; values stay out of it."""
    entry = next((one for one in _no_proxy_entries() if not _is_readable(one)), None)
    if entry is not None:
        return (
            f"No HTTP client can be made: NO_PROXY has the entry {entry!r}, which httpx cannot read. Write an IPv6 "
            "address without brackets and a host name without a path."
        )
    named = [name for name in _VARIABLES if os.environ.get(name) or os.environ.get(name.lower())]
    return (
        f"No HTTP client can be made ({what}). Check what the environment says of proxies (HTTP_PROXY, HTTPS_PROXY, "
        "ALL_PROXY, NO_PROXY; a SOCKS proxy needs the package `socksio`) and of certificates (SSL_CERT_FILE, "
        f"SSL_CERT_DIR). Set now: {', '.join(named) or 'none of them'}."
    )


def _no_proxy_entries() -> list[str]:
    return [one for part in urllib.request.getproxies().get("no", "").split(",") if (one := part.strip())]


def _is_readable(entry: str) -> bool:
    """Return whether httpx can make a pattern of an entry of NO_PROXY, as it does of each."""
    pattern = entry if "://" in entry else f"all://{_host_pattern(entry)}"
    try:
        httpx.Client(trust_env=False, mounts={pattern: None}).close()
    except (ValueError, httpx.InvalidURL):
        return False
    return True


def _host_pattern(entry: str) -> str:
    try:
        address = ipaddress.ip_address(entry.partition("/")[0])
    except ValueError:
        return f"*{entry}"
    return f"[{entry}]" if address.version == 6 else entry
