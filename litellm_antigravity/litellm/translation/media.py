"""Images and files that messages name by URL, fetched and put in as data URLs before LiteLLM sees them.

LiteLLM would fetch them itself, but for minutes if the server is slow, and whole before it looks at their size. Its
rules on where a URL may lead are used (`litellm.user_url_validation`, `litellm.user_url_allowed_hosts`): never to
loopback, private or link-local addresses, at no hop, unless the host is on the list.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import httpx

from litellm_antigravity.litellm.errors import bad_request
from litellm_antigravity.litellm.seams import borrowed

FETCH_SECONDS: Final = 20.0
"""For one URL, redirects included."""

_REMOTE: Final = ("http://", "https://")
_UPLOADED: Final = "https://generativelanguage.googleapis.com/v1beta/files/"  # Gemini's Files API; sent as it is


class Fetcher:
    """Fetches what URLs name.

    Args:
        transport: stands in for the network in tests.
        seconds: for one URL, redirects included.
        max_bytes: of one URL; LiteLLM's ``MAX_IMAGE_URL_DOWNLOAD_SIZE_MB`` when absent.
    """

    def __init__(
        self,
        transport: httpx.BaseTransport | None = None,
        *,
        seconds: float = FETCH_SECONDS,
        max_bytes: int | None = None,
    ) -> None:
        self._transport = transport
        self._seconds = seconds
        self._max_bytes = int(borrowed.MAX_IMAGE_URL_DOWNLOAD_SIZE_MB * 1024 * 1024) if max_bytes is None else max_bytes

    def data_url(self, url: str, model: str) -> str:
        """Return the data URL of what ``url`` names.

        Raises:
            litellm.BadRequestError: when it may not or cannot be fetched, or is too large.
        """
        cached = borrowed.image_cache.get_cache(url)
        if isinstance(cached, str):
            return cached
        try:
            with httpx.Client(transport=self._transport, timeout=self._seconds) as client:
                response = borrowed.safe_get(_Limited(client, self._seconds, self._max_bytes), url)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # a ValueError says what the rules forbid
            reason = str(error) or type(error).__name__
        else:
            if response.status_code == 200:
                result = _as_data_url(url, response)
                if result is not None:
                    borrowed.image_cache.set_cache(url, result)
                    return result
                reason = "its kind cannot be told from its headers, its name or its content"
            else:
                reason = f"the server answered {response.status_code}"
        msg = f"{url} cannot be fetched: {reason}."
        raise bad_request(msg, model)


def _as_data_url(url: str, response: httpx.Response) -> str | None:
    try:
        kind = borrowed.infer_content_type_from_url_and_content(
            url=url, content=response.content, current_content_type=response.headers.get("content-type")
        )
    except ValueError:
        return None
    return f"data:{kind.partition(';')[0].strip()};base64,{base64.b64encode(response.content).decode()}"


class _Limited:
    """A client whose answers are limited in size and, over all hops, in time."""

    def __init__(self, client: httpx.Client, seconds: float, max_bytes: int) -> None:
        self._client = client
        self._ends = time.monotonic() + seconds
        self._max_bytes = max_bytes

    def get(self, url: str, **more: Any) -> httpx.Response:
        left = self._ends - time.monotonic()
        if left <= 0:
            msg = "it takes too long"
            raise httpx.ReadTimeout(msg)
        with self._client.stream("GET", url, timeout=left, **more) as response:
            if response.is_redirect:
                return response
            body = b"".join(self._read(response))
            headers = {name: value for name, value in response.headers.items() if name != "content-encoding"}
            return httpx.Response(response.status_code, headers=headers, content=body, request=response.request)

    def _read(self, response: httpx.Response) -> Iterator[bytes]:
        size = 0
        for received in response.iter_bytes():
            size += len(received)
            if size > self._max_bytes:
                msg = f"it is larger than {self._max_bytes} bytes"
                raise ValueError(msg)
            if time.monotonic() > self._ends:
                msg = "it takes too long"
                raise httpx.ReadTimeout(msg)
            yield received


def inline_media(messages: Sequence[dict[str, Any]], model: str, fetcher: Fetcher) -> None:
    """Put data URLs in the place of remote ones, in messages that are our own copies."""
    for message in messages:
        content = message.get("content")
        for element in content if isinstance(content, list) else ():
            if isinstance(element, dict):
                _inline(element, model, fetcher)


def names_remote_media(messages: Sequence[Any]) -> bool:
    """Return whether something has to be fetched for these messages, which may take seconds."""
    for message in messages:
        content = message.get("content") if isinstance(message, Mapping) else getattr(message, "content", None)
        for element in content if isinstance(content, list) else ():
            if isinstance(element, Mapping):
                image, file = element.get("image_url"), element.get("file")
                url = image.get("url") if isinstance(image, Mapping) else image
                if _is_remote(url) or (isinstance(file, Mapping) and _is_remote(file.get("file_id"))):
                    return True
    return False


def _inline(element: dict[str, Any], model: str, fetcher: Fetcher) -> None:
    image = element.get("image_url")
    if isinstance(image, str) and _is_remote(image):
        element["image_url"] = fetcher.data_url(image, model)
    elif isinstance(image, Mapping) and _is_remote(image.get("url")):
        element["image_url"] = {**image, "url": fetcher.data_url(image["url"], model)}
    file = element.get("file")
    if isinstance(file, Mapping) and _is_remote(file.get("file_id")):
        rest = {name: value for name, value in file.items() if name != "file_id"}
        element["file"] = {**rest, "file_data": fetcher.data_url(file["file_id"], model)}


def _is_remote(url: Any) -> bool:
    return isinstance(url, str) and url.startswith(_REMOTE) and not url.startswith(_UPLOADED)


FETCHER: Final = Fetcher()

__all__ = ["FETCHER", "FETCH_SECONDS", "Fetcher", "inline_media", "names_remote_media"]
