"""Clients of redis-py's, made of what the setting `redis` says: a single server, a cluster, or what sentinels watch.

Within LiteLLM its own helper makes them (`use_maker`), which also reads ``REDIS_*`` and knows the clouds' sign-ins.
Nothing of redis-py is imported before a client is made.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from litellm_antigravity.errors import SettingsError
from litellm_antigravity.redaction import SECRETS
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.redis_link import RedisPlace
from litellm_antigravity.state.sealing import TokenSeal

logger = logging.getLogger("litellm_antigravity")

SECONDS: Final = 1.0
"""How long a command waits for its answer, and a connection for being made; no request waits for either."""

OFF: Final = "off"
"""What the setting says where Redis is not to be used though LiteLLM has one."""

_FROM_ENVIRONMENT = "os.environ/"
_SALT_KEY: Final = "LITELLM_SALT_KEY"  # LiteLLM encrypts with it what it keeps in its database
_SECRETS = ("password", "sentinel_password", "azure_client_secret")

Maker = Callable[[Mapping[str, Any]], Any]

_maker: list[Maker] = []


def use_maker(maker: Maker) -> None:
    """Have clients made by somebody who knows more ways than redis-py's own."""
    _maker[:] = [maker]


def place_of(settings: Settings) -> RedisPlace | None:
    """Return where the hosts meet; ``None`` where this one is by itself. Connects to nothing.

    Raises:
        SettingsError: when redis-py is not installed.
    """
    if settings.redis is None or settings.redis.get_secret_value() == OFF:
        return None
    try:
        import redis  # noqa: F401 - here, and not while a request waits 50 ms for its first answer
    except ImportError:
        msg = "The setting redis needs redis-py: pip install 'litellm-antigravity[redis]'."
        raise SettingsError(msg) from None
    target = target_of(settings.redis.get_secret_value())
    for secret in _secrets_of(target):
        SECRETS.remember(secret)
    return RedisPlace(functools.partial(connect, target), settings.redis_namespace, described(target))


def seal_of(settings: Settings) -> TokenSeal:
    """Return what encrypts the tokens that hosts share.

    Raises:
        SettingsError: when there is no key, or the package that encrypts is not installed.
    """
    salt = os.environ.get(_SALT_KEY)
    key = settings.share_tokens_key or (SecretStr(salt) if salt else None)
    if key is None or not key.get_secret_value():
        msg = f"share_tokens: redis needs a key that all hosts have: set {_SALT_KEY}, or share_tokens_key."
        raise SettingsError(msg)
    if importlib.util.find_spec("cryptography") is None:
        msg = "share_tokens: redis needs the package cryptography: pip install 'litellm-antigravity[redis]'."
        raise SettingsError(msg)
    SECRETS.remember(key.get_secret_value())
    return TokenSeal(key, settings.redis_namespace)


def target_of(text: str) -> dict[str, Any]:
    """Return what is to be connected to: redis-py's names, or LiteLLM's where those differ."""
    return json.loads(text) if text.startswith("{") else {"url": text}


def _secrets_of(target: Mapping[str, Any]) -> list[str]:
    found = [target.get(name) for name in _SECRETS]
    url = urlsplit(str(target.get("url") or ""))
    return [unquote(one) for one in [*found, url.password] if isinstance(one, str) and one]


def described(target: Mapping[str, Any]) -> str:
    """Return where a target is, without secrets."""
    if url := target.get("url"):
        parts = urlsplit(str(url))
        return parts.path if parts.scheme == "unix" else parts.netloc.rpartition("@")[2]
    if nodes := target.get("startup_nodes"):
        first = nodes[0] if isinstance(nodes, list) and isinstance(nodes[0], Mapping) else {}
        return f"the cluster of {first.get('host')}:{first.get('port')}"
    if target.get("sentinel_nodes"):
        return f"the sentinels' {target.get('service_name')}"
    if "host" in target:
        return f"{target['host']}:{target.get('port') or 6379}"
    return "REDIS_* of the environment"


def connect(target: Mapping[str, Any]) -> Any:
    """Return a client; it connects with its first command.

    Nothing is tried again by redis-py: that is done here, and knows what may be done twice.
    """
    bounded = {"socket_timeout": SECONDS, "socket_connect_timeout": SECONDS, **target}
    client = (_maker[0] if _maker else by_redis_py)(bounded)
    if hasattr(client, "connection_pool"):  # a cluster has one for each node, and its own rules
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        client.set_retry(Retry(NoBackoff(), 0))
    return client


def by_redis_py(target: Mapping[str, Any]) -> Any:
    """Return a client of redis-py's for a target."""
    import redis

    options = {name: _resolved(value) for name, value in target.items() if value is not None}
    nodes, sentinels = options.pop("startup_nodes", None), options.pop("sentinel_nodes", None)
    if nodes:
        from redis.cluster import ClusterNode

        return redis.RedisCluster(
            startup_nodes=[ClusterNode(node["host"], int(node["port"])) for node in nodes], **options
        )
    if sentinels:
        service, password = options.pop("service_name", "mymaster"), options.pop("sentinel_password", None)
        times = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout")}
        found = redis.Sentinel(
            [(host, int(port)) for host, port in sentinels], sentinel_kwargs={"password": password, **times}
        )
        return found.master_for(service, **options)
    if url := options.pop("url", None):
        return redis.Redis.from_url(url, **options)
    if "port" in options:
        options["port"] = int(options["port"])
    return redis.Redis(**options)


def _resolved(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FROM_ENVIRONMENT):
        return os.environ.get(value.removeprefix(_FROM_ENVIRONMENT))
    return value


__all__ = ["OFF", "connect", "described", "place_of", "seal_of", "target_of", "use_maker"]
