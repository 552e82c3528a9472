"""Which Redis joins the hosts of a proxy: that of its own settings, where ours name none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from litellm_antigravity.litellm.seams.table import find
from litellm_antigravity.logs import LOGGER
from litellm_antigravity.settings import Settings

_ENVIRONMENT: Final = ("REDIS_URL", "REDIS_HOST", "REDIS_CLUSTER_NODES", "REDIS_SENTINEL_NODES")
_ROUTERS: Final = ("url", "host", "port", "password", "username", "ssl")


def redis_of(config: Mapping[str, Any]) -> Mapping[str, Any] | str | None:
    """Return what the proxy's own settings say of Redis; an empty mapping for what is in the environment.

    Args:
        config: the proxy's.
    """
    general, router = _block(config, "general_settings"), _block(config, "router_settings")
    coordination = general.get("coordination_redis")
    if isinstance(coordination, Mapping) and coordination:
        return dict(coordination)
    known = {name: router[f"redis_{name}"] for name in _ROUTERS if router.get(f"redis_{name}") is not None}
    if "url" in known or "host" in known:
        return known
    return {} if any(os.environ.get(name) for name in _ENVIRONMENT) else None


def with_redis_of(config: Mapping[str, Any], block: Any, source: str) -> Settings:
    """Return the settings of a proxy's block; where nothing sets `redis`, with the proxy's own.

    Args:
        config: the proxy's.
        block: its ``antigravity_settings``.
        source: what the block is called.

    Raises:
        SettingsError: a setting is wrong.
    """
    settings = Settings.from_mapping(block, source)
    implied = redis_of(config) if settings.redis is None else None
    if implied is None:
        return settings
    try:
        import redis  # noqa: F401 - LiteLLM uses it in whatever it does with Redis
    except ImportError:
        LOGGER.warning("The proxy has a Redis, but redis-py is not installed: other hosts are not met there.")
        return settings
    return Settings.from_mapping({**(block or {}), "redis": implied}, source)


def _block(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    block = config.get(name)
    return block if isinstance(block, Mapping) else {}


def use_litellms_clients(settings: Settings) -> None:
    """Have LiteLLM make the clients, if there are to be any.

    It knows ``os.environ/``, its secret managers, and the clouds' sign-ins.
    """
    if settings.redis is not None:
        from litellm_antigravity.state.redis_connect import use_maker

        use_maker(_by_litellm)


def _by_litellm(target: Mapping[str, Any]) -> Any:
    import litellm._redis  # noqa: F401 - a seam that matters where redis-py is loaded

    from litellm_antigravity.state.redis_connect import by_redis_py

    make = find("get_redis_client")
    return by_redis_py(target) if make is None else make(**target)


__all__ = ["redis_of", "use_litellms_clients", "with_redis_of"]
