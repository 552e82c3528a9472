"""LiteLLM's Router: the names of it that this package uses, each private one with the reason.

Up to LiteLLM 1.108 the Router is one Python class, whose attributes are read and replaced. From 1.109 on it is a front
to a core written in Rust, with entry points (`registry`, `select`, `register_plugin`) in their place. Checked on
LiteLLM 1.90.0, 1.106.2, 1.108.7 and 1.110.2.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import random
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

from litellm.types.router import CustomRoutingStrategyBase

from litellm_antigravity.accounts.credential import digest16
from litellm_antigravity.forking import ForkAware
from litellm_antigravity.litellm.seams.requests import info_of
from litellm_antigravity.litellm.seams.table import find
from litellm_antigravity.litellm.seams.wrapping import wrap
from litellm_antigravity.logs import LOGGER

Narrow = Callable[[str, Any, Any, Any], Any]
"""Narrows a group's deployments: its name, the deployments, the request as the Router has it, and its messages."""

_routers: weakref.WeakSet[Any] = weakref.WeakSet()


def install() -> None:
    """Have every Router tell deployments apart that differ in nothing but the account; once."""
    wrap(find("model_list_holder"), "set_model_list", _telling_accounts_apart)


# Looking


def model_list(router: Any) -> Any:
    """Return all deployments of a Router, in their order."""
    return router.registry().all() if hasattr(router, "registry") else router.model_list


def model_lists() -> list[Any]:
    """Return the model lists of the Routers we know: those `route` was called for, and the proxy's."""
    return [model_list(router) for router in _known_routers()]


def deployments_for(name: str) -> list[Mapping[str, Any]]:
    """Return the deployments that those Routers would choose from for a model: aliases and wildcards are resolved."""
    return [one for router in _known_routers() for one in _deployments_of(router, name)]


def forget_routers() -> None:
    """Forget the Routers that `route` was called for."""
    _routers.clear()


def _deployments_of(router: Any, name: str) -> Sequence[Mapping[str, Any]]:
    if hasattr(router, "registry"):
        return router.registry().deployments(name) or ()
    return router.get_model_list(model_name=name) or ()


def _known_routers() -> list[Any]:
    proxy = sys.modules.get("litellm.proxy.proxy_server")
    return [router for router in (*_routers, getattr(proxy, "llm_router", None)) if router is not None]


def router_of(deployments: Sequence[Any]) -> Any:
    """Return the Router that has these deployments, of those we know; the proxy's comes first."""
    ids = {info_of(deployment).get("id") for deployment in deployments}
    for router in reversed(_known_routers()):
        if any(info_of(one).get("id") in ids for one in model_list(router)):
            return router
    return None


def core_of(router: Any) -> Any:
    """Return what has a Router's settings and callbacks: newer releases keep them behind it."""
    return getattr(router, "_core", router)


def routing_context(router: Any) -> Any:
    """Return the view of a Router that newer releases hand around in its place."""
    from litellm.router_api import RoutingContext

    return RoutingContext(router)


# Tags

_get_deployments_for_tag = find("get_deployments_for_tag")


@functools.cache
def _tag_parameters() -> Mapping[str, inspect.Parameter]:
    return inspect.signature(_get_deployments_for_tag).parameters


async def tagged(model: str, deployments: list[Any], request_kwargs: Any) -> list[Any]:
    """Return the deployments that fit the tags of a request, as LiteLLM decides it; all when none does.

    Args:
        model: the group.
        deployments: of the group.
        request_kwargs: the request as the Router has it.
    """
    router = router_of(deployments) if request_kwargs else None
    if router is None or _get_deployments_for_tag is None:
        return deployments
    try:
        return list(
            await _get_deployments_for_tag(
                model=model,
                healthy_deployments=deployments,
                request_kwargs=request_kwargs,
                metadata_variable_name="litellm_metadata" if "litellm_metadata" in request_kwargs else "metadata",
                **_what_newer_releases_ask(router, deployments),
            )
        )
    except ValueError:  # none does: LiteLLM asks the same again, after us, and says so
        return deployments
    except Exception as error:  # noqa: BLE001 - of a release that we do not know; better no tags than no requests
        LOGGER.warning("Tags are not looked at before an account is chosen: %s: %s", type(error).__name__, error)
        return deployments


def _what_newer_releases_ask(router: Any, deployments: list[Any]) -> dict[str, Any]:
    """Return the rest of the arguments: newer releases ask for more, and take a view of the Router for the Router."""
    parameters = _tag_parameters()
    asked: dict[str, Any] = {"request_deployments": deployments} if "request_deployments" in parameters else {}
    if "ctx" not in parameters:
        return {**asked, "llm_router_instance": router}
    return {**asked, "ctx": routing_context(router)}


# Choosing


def route(router: Any, narrow: Narrow) -> None:
    """Have a Router's synchronous selection ask ``narrow`` too, after LiteLLM's own filters; twice does no harm.

    Its asynchronous one asks the hook, as that of any Router does. A Router that is given another ``routing_strategy``
    drops it; then it has to be done again.

    Raises:
        RuntimeError: when this LiteLLM selects in a way that is not known here.
    """
    is_new = hasattr(router, "register_plugin")
    if is_new and not hasattr(getattr(router, "_core", None), "_custom_strategy"):
        raise RuntimeError(_UNKNOWN)
    in_place = router._core._custom_strategy if is_new else router.__dict__.get("get_available_deployment")
    if router in _routers and in_place is not None:
        return
    if is_new:
        router.register_plugin(_plugin(router))
    else:
        router.set_custom_routing_strategy(_strategy(router, narrow))
    _routers.add(router)


class _Question(NamedTuple):
    """What a Router asks a strategy, as its own methods take it."""

    model: str
    messages: Any = None
    input: Any = None
    specific_deployment: bool | None = False
    request_kwargs: Any = None


class _AccountRouting(CustomRoutingStrategyBase):  # type: ignore[misc]  # LiteLLM's types are not followed
    """A strategy of LiteLLM's, made of two functions.

    Args:
        choose: answers a synchronous question.
        achoose: answers an asynchronous one, with the arguments that it came with.
    """

    def __init__(self, choose: Callable[[_Question], Any], achoose: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self._choose = choose
        self._achoose = achoose

    def get_available_deployment(self, *args: Any, **kwargs: Any) -> Any:
        return self._choose(_Question(*args, **kwargs))

    async def async_get_available_deployment(self, *args: Any, **kwargs: Any) -> Any:
        return await self._achoose(*args, **kwargs)


def _strategy(router: Any, narrow: Narrow) -> Any:
    """Return a strategy that asks ``narrow`` and leaves the rest to the Router's own.

    The synchronous path knows no callback, so the last filter before ``order`` and exclusions is wrapped, in this
    Router only and only while it selects synchronously. Its strategy then chooses from what is left.
    """
    last_filter = getattr(router, "_filter_blocked_deployments", None)
    if last_filter is None:
        raise RuntimeError(_UNKNOWN)
    selection = threading.local()

    def filtered(*args: Any, **kwargs: Any) -> Any:
        deployments = last_filter(*args, **kwargs)
        request = getattr(selection, "request", None)
        return deployments if request is None else narrow(request[0], deployments, *request[1:])

    def choose(asked: _Question) -> Any:
        group = router._get_model_from_alias(asked.model) or asked.model
        selection.request = (group, asked.request_kwargs, asked.messages)
        try:
            return type(router).get_available_deployment(router, **asked._asdict())
        finally:
            selection.request = None

    router._filter_blocked_deployments = filtered
    return _AccountRouting(choose, functools.partial(type(router).async_get_available_deployment, router))


def _plugin(router: Any) -> Any:
    """Return a plugin that has the hook narrow groups which name accounts, and leaves the rest to the Router's own.

    A plugin replaces every choice. So the Router is asked once as if it had none, and, for the synchronous choice of a
    group that names accounts, for the deployments that its asynchronous one would choose from: those ask the hook.
    """

    def choose(asked: _Question) -> Any:
        if not any(_names_account(one) for one in _deployments_of(router, asked.model)):
            return _without_plugin(router).get_available_deployment(*asked)
        chosen = background.run(router.select(**asked._asdict(), kind="healthy"))
        # More than one are deployments of one account, or such that name none.
        return chosen if isinstance(chosen, Mapping) else random.choice(chosen)  # noqa: S311 - no secret

    async def achoose(*args: Any, **kwargs: Any) -> Any:
        return await _without_plugin(router).select(**_Question(*args, **kwargs)._asdict())

    return _AccountRouting(choose, achoose)


_UNKNOWN = "this release of LiteLLM selects deployments in another way; litellm_antigravity.install does not know it"


def _without_plugin(router: Any) -> Any:
    """Return a copy of a Router's core that shares everything with it but the plugin.

    LiteLLM has no way for a plugin to leave a choice to the strategy that it replaces.
    """
    core = router._core
    copied = object.__new__(type(core))
    copied.__dict__.update(core.__dict__)
    copied.__dict__["_custom_strategy"] = None
    copied.__dict__.pop("get_available_deployment", None)
    return copied


def _names_account(deployment: Mapping[str, Any]) -> bool:
    return bool(info_of(deployment).get("account"))


class _Background(ForkAware):
    """An event loop in a thread of its own, for synchronous code; the calling thread may have one that is running."""

    def __init__(self) -> None:
        self._after_fork_in_child()
        self._watch_forks()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return the result of a coroutine."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="antigravity-selection", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


background = _Background()
"""Runs coroutines for synchronous code."""


# Telling apart


def _telling_accounts_apart(original: Callable[..., Any]) -> Callable[..., Any]:
    """Give deployments that name an account, but no id, an id of their own.

    LiteLLM's id is a hash of ``litellm_params``, in which pinned deployments do not differ: it would take them for one
    and the same, and bench all of them for a failure of one.
    """

    def set_model_list(holder: Any, model_list: Sequence[Any]) -> Any:
        return original(holder, with_ids(model_list))

    return set_model_list


def with_ids(model_list: Sequence[Any]) -> list[Any]:
    """Return deployments with the ids that `install` gives them; always the same for the same deployment."""
    identified, numbers = [], Counter[str]()
    for deployment in model_list:
        info = deployment.get("model_info") if isinstance(deployment, Mapping) else None
        account = info.get("account") if isinstance(info, Mapping) and info.get("id") is None else None
        if isinstance(account, str):
            params = json.dumps(deployment.get("litellm_params"), sort_keys=True, default=str)
            own_id = digest16("deployment", str(deployment.get("model_name")), account.strip().casefold(), params)
            numbers[own_id] += 1
            own_id = own_id if numbers[own_id] == 1 else f"{own_id}-{numbers[own_id]}"
            identified.append({**deployment, "model_info": {**dict(info or {}), "id": own_id}})
        else:
            identified.append(deployment)
    return identified


__all__ = [
    "Narrow",
    "background",
    "core_of",
    "deployments_for",
    "forget_routers",
    "install",
    "model_list",
    "model_lists",
    "route",
    "router_of",
    "routing_context",
    "tagged",
    "with_ids",
]
