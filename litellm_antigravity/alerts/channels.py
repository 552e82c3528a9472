"""Where alerts go: a webhook of ours here; LiteLLM's own alerting is one of `litellm`'s."""

from __future__ import annotations

import logging
import threading
from typing import Final, Protocol
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from litellm_antigravity._version import __version__
from litellm_antigravity.alerts.message import Alert
from litellm_antigravity.errors import AntigravityError
from litellm_antigravity.redaction import SECRETS
from litellm_antigravity.wire.asking import ask
from litellm_antigravity.wire.http import HttpClients

POST_SECONDS: Final = 10.0
"""How long a receiver has for one alert."""

_posting = threading.local()


class NotToldError(Exception):
    """A receiver has not taken an alert.

    Args:
        why: no address and no secret in it.
        retry_after: seconds for which the receiver asks to be left alone.
    """

    def __init__(self, why: str, retry_after: float = 0.0) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class Channel(Protocol):
    """Somewhere alerts go."""

    def is_open(self) -> bool:
        """Return whether it is configured; cheap."""
        ...

    def tell(self, alert: Alert) -> None:
        """Hand an alert over.

        Raises:
            NotToldError: when it was not taken.
        """
        ...


class Webhook:
    """Posts alerts as JSON. Redirects are not followed: an alert goes to the address of the settings and nowhere else.

    Args:
        url: the address.
    """

    def __init__(self, url: SecretStr) -> None:
        self._url = url
        self._clients = HttpClients()
        for part in (url.get_secret_value(), urlsplit(url.get_secret_value()).path):
            SECRETS.remember(part)
        logging.getLogger("httpx").addFilter(_is_not_ours)

    def is_open(self) -> bool:
        """Return True: it would not be here otherwise."""
        return True

    def tell(self, alert: Alert) -> None:
        """Post an alert; see `Channel.tell`."""
        headers = {"user-agent": f"litellm-antigravity/{__version__}"}
        _posting.now = True
        try:
            client, url = self._clients.sync(), self._url.get_secret_value()
            answer = ask(client, url, headers=headers, timeout=POST_SECONDS, json=alert.body)
        except (httpx.HTTPError, httpx.InvalidURL, AntigravityError) as error:
            why = type(error).__name__
        else:
            if 200 <= answer.status < 300:
                return
            raise NotToldError(f"HTTP {answer.status}", _seconds(answer.headers.get("retry-after", "")))
        finally:
            _posting.now = False
        raise NotToldError(why)  # out here, without a chain that would name the address


def _seconds(header: str) -> float:
    """Return how long a receiver asks to be left alone; 0 for what is no whole number of seconds."""
    return float(header) if header.isascii() and header.isdecimal() and len(header) < 5 else 0.0


def _is_not_ours(_: logging.LogRecord) -> bool:
    """Return whether httpx may say what it posts, and whereto: it does at level INFO, with the whole address."""
    return not getattr(_posting, "now", False)


__all__ = ["POST_SECONDS", "Channel", "NotToldError", "Webhook"]
