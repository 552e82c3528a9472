"""LiteLLM's proxy: what this package reads of it, and wrappers that keep our things when it loads them again.

Checked on LiteLLM 1.106.2, 1.108.7 and 1.110.2.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

import litellm

from litellm_antigravity.litellm.seams.router import with_ids
from litellm_antigravity.litellm.seams.wrapping import wrap
from litellm_antigravity.masking import mask_email

_SERVER = "litellm.proxy.proxy_server"

# Whether the proxy is comparing its Router with its configuration, in this task.
_comparing: ContextVar[bool] = ContextVar("litellm_antigravity_comparing", default=False)


def proxy_config() -> tuple[Mapping[str, Any], str] | None:
    """Return the configuration that the proxy is loading or has loaded, and its file; ``None`` outside of a proxy.

    Asked of the proxy itself, because the file may have been named by an option, an environment variable or a worker's
    settings, and may come from a database or a bucket. ``os.environ/NAME`` values are resolved.
    """
    proxy = sys.modules.get(_SERVER)
    state = getattr(getattr(proxy, "proxy_config", None), "get_config_state", None)
    config = state() if state is not None else None
    if not config:
        return None
    return config, str(getattr(proxy, "user_config_file_path", None) or "the proxy's configuration")


def install(hook: object) -> None:
    """Have the proxy keep our hook single and our deployments' ids when it loads its configuration again; once.

    Args:
        hook: what the configuration names as a callback.
    """
    proxy = sys.modules.get(_SERVER)
    if proxy is None:
        return
    wrap(proxy, "initialize_callbacks_on_proxy", functools.partial(_keeping_hook_single, hook))
    config = getattr(proxy, "ProxyConfig", None)
    wrap(config, "_delete_deployment", _noting_comparison)
    wrap(config, "get_config", _with_ids_where_compared)
    wrap(proxy, "remove_sensitive_info_from_deployment", _masking_accounts)


def _masking_accounts(original: Callable[..., Any]) -> Callable[..., Any]:
    """Have ``/model/info`` mask the e-mail in ``model_info.account``: keys that may ask for it are not its owners.

    Masked as the account's label is, under which the model list may name it, too.
    """

    def remove_sensitive_info_from_deployment(*args: Any, **kwargs: Any) -> Any:
        told = original(*args, **kwargs)
        info = told.get("model_info") if isinstance(told, dict) else None
        account = info.get("account") if isinstance(info, Mapping) else None
        if isinstance(account, str) and "@" in account:
            told["model_info"] = {**(info or {}), "account": mask_email(account.strip())}
        return told

    return remove_sensitive_info_from_deployment


def _keeping_hook_single(hook: object, original: Callable[..., Any]) -> Callable[..., Any]:
    """Have LiteLLM call ``hook`` once: each time the configuration is loaded, it appends all that is named there."""

    def initialize_callbacks_on_proxy(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        callbacks = litellm.callbacks
        for index in reversed([at for at, one in enumerate(callbacks) if one is hook][1:]):
            del callbacks[index]
        return result

    return initialize_callbacks_on_proxy


# A proxy that keeps models in its database removes, every few seconds, what is in neither the database nor the file. It
# computes the ids of the file's deployments for that, and would not find those that our deployments were given.


def _noting_comparison(original: Callable[..., Any]) -> Callable[..., Any]:
    """Note that the Router is being compared with the configuration."""

    async def _delete_deployment(*args: Any, **kwargs: Any) -> Any:
        token = _comparing.set(True)
        try:
            return await original(*args, **kwargs)
        finally:
            _comparing.reset(token)

    return _delete_deployment


def _with_ids_where_compared(original: Callable[..., Any]) -> Callable[..., Any]:
    """Name the ids there, but nowhere else: LiteLLM may write the configuration back to its file."""

    async def get_config(*args: Any, **kwargs: Any) -> Any:
        config = await original(*args, **kwargs)
        if _comparing.get() and isinstance(model_list := config.get("model_list"), list):
            config["model_list"] = with_ids(model_list)
        return config

    return get_config


@functools.cache
def _proxy_rate_limit_error(proxy_exception: Any) -> Any:
    class Base(proxy_exception):  # type: ignore[misc]  # known at run time only
        def __init__(self, *args: object) -> None:
            Exception.__init__(self, *args)

    class RateLimitError(litellm.RateLimitError, Base):  # type: ignore[misc]  # LiteLLM's types are not followed
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            self.become_proxys()

        def become_proxys(self) -> None:
            self.headers: dict[str, str] = {}
            self.param = None
            self.openai_code = self.code
            self.provider_specific_fields = None

    return RateLimitError


def rate_limit_error() -> Any:
    """Return LiteLLM's class for rate limits; in a proxy one that is the proxy's own exception, too.

    ``/v1/messages`` passes on the headers, and so Retry-After, of no other exception.
    """
    proxy = sys.modules.get(_SERVER)
    proxy_exception = getattr(proxy, "ProxyException", None)
    return litellm.RateLimitError if proxy_exception is None else _proxy_rate_limit_error(proxy_exception)


def make_rate_limit_error(error: object) -> None:
    """Make a rate limit that LiteLLM has raised one of `rate_limit_error`, where that is another class.

    Args:
        error: LiteLLM's exception; changed. Any other one is left as it is.
    """
    kind = rate_limit_error()
    if type(error) is litellm.RateLimitError and kind is not litellm.RateLimitError:
        error.__class__ = kind
        error.become_proxys()  # type: ignore[attr-defined]  # `kind` has it


__all__ = ["install", "make_rate_limit_error", "proxy_config", "rate_limit_error"]
