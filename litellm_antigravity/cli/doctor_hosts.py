"""``doctor``: the Redis that joins this host with others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from litellm_antigravity.cli.doctor_report import Finding
from litellm_antigravity.errors import SettingsError, StateUnavailableError
from litellm_antigravity.settings import Settings

_AREA = "other hosts"


def check_hosts(settings: Settings) -> Iterator[Finding]:
    """Yield whether the hosts can meet, if they are to. Changes nothing."""
    if settings.redis is None:
        return
    from litellm_antigravity.state.redis_connect import place_of

    try:
        place = place_of(settings)
    except SettingsError as error:
        yield Finding(_AREA, "failed", str(error))
        return
    if place is None:
        return
    from litellm_antigravity.state.redis_check import problems_with
    from litellm_antigravity.state.redis_link import RedisLink

    link = RedisLink(place)
    with contextlib.closing(link):
        try:
            problems = problems_with(link)
        except StateUnavailableError as error:
            yield Finding(_AREA, "failed", f"{error}.", "Until then each host goes on with its own state.")
            return
    for problem in problems:
        yield Finding(_AREA, "warning", f"{problem[0].upper()}{problem[1:]}.")
    if not problems:
        yield Finding(_AREA, "ok", f"They are met at {place.description}, as {settings.redis_namespace}.")


__all__ = ["check_hosts"]
