"""Small questions to upstream and to token endpoints: bounded in time and size, whatever comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from litellm_antigravity.wire.deadline import ExchangeTimes
from litellm_antigravity.wire.limits import TimeLimits
from litellm_antigravity.wire.reading import ENCODING, MAX_ERROR_BYTES, Body


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, whatever its status."""

    status: int
    headers: httpx.Headers
    content: bytes


def ask(
    client: httpx.Client,
    url: str,
    *,
    headers: Mapping[str, str],
    timeout: float,
    json: Any = None,
    form: Mapping[str, str] | None = None,
    content: bytes | None = None,
    method: str = "POST",
) -> Answer:
    """Send a request and read its answer.

    Args:
        client: for HTTP.
        url: whereto.
        headers: beside httpx's own.
        timeout: seconds for all of it.
        json: the body, as JSON.
        form: the body, as a form.
        content: the body, as it is.
        method: of HTTP.

    Raises:
        TooLongError: when an answer that is no error is longer than `MAX_ERROR_BYTES`.
        httpx.HTTPError: when none comes.
    """
    times = ExchangeTimes(TimeLimits(timeout))
    request = client.build_request(
        method,
        url,
        headers={"accept-encoding": ENCODING, **headers},
        json=json,
        content=content,
        data=None if form is None else dict(form),
        extensions={"timeout": times.extension},
    )
    response = client.send(request, stream=True)
    times.answered(is_error=response.status_code != 200)
    body = Body(MAX_ERROR_BYTES)
    body.fill(response)
    return Answer(response.status_code, response.headers, body.content)
