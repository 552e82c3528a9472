"""What an operator should know of the Redis server that joins the hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from litellm_antigravity.state.redis_link import RedisLink

_OLDEST: Final = (6, 2)


def problems_with(link: RedisLink) -> list[str]:
    """Return what is wrong with the way a server is set up; empty where nothing is, or where it does not tell.

    Raises:
        StateUnavailableError: when it cannot be used at all.
    """
    memory, server = _told(link, "memory"), _told(link, "server")
    found = []
    policy = str(memory.get("maxmemory_policy") or "")
    if policy.startswith("allkeys-") and memory.get("maxmemory"):
        found.append(
            f"the Redis at {link.place.description} forgets any key when it is full (maxmemory-policy {policy}): hosts "
            "then tell each other everything anew, and a lock may be held twice. Set noeviction, or volatile-lru"
        )
    version = str(server.get("redis_version") or "")
    if version and _numbers(version) < _OLDEST:
        found.append(f"the Redis at {link.place.description} is {version}; 6.2 is the oldest that is supported")
    return found


def _told(link: RedisLink, section: str) -> Mapping[str, Any]:
    from redis.exceptions import ResponseError

    def ask(client: Any) -> Any:
        try:
            return client.info(section)
        except ResponseError:
            return {}  # it may be forbidden

    told = link.call(ask)
    if isinstance(told, dict) and all(isinstance(each, dict) for each in told.values()):
        told = next(iter(told.values()), {})  # a cluster's first node
    return told if isinstance(told, dict) else {}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


__all__ = ["problems_with"]
