"""Which conversation a pinned group's request belongs to, and whether its account is to follow it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from litellm_antigravity.litellm.conversations import conversation_of, group_scope
from litellm_antigravity.litellm.seams.filters import Switches
from litellm_antigravity.litellm.seams.requests import METADATA, caller_of, params_of
from litellm_antigravity.selection.conversation import Said, find_conversation
from litellm_antigravity.settings import Settings

_REMEMBERED: Final = "litellm_antigravity_conversation"


class Key(str):
    """The key of a conversation that we have found. No JSON of a caller's can be one."""

    __slots__ = ()


def key_of(
    request_kwargs: Mapping[str, Any],
    messages: object,
    group: str,
    switches: Switches,
    settings: Settings,
    *,
    always: bool,
) -> Key | None:
    """Return the key of what keeps its account in a group; ``None`` when nothing does.

    Args:
        request_kwargs: the request as the Router has it.
        messages: of the request.
        group: the ``model_name`` of its deployments.
        switches: which of LiteLLM's bindings are switched on.
        settings: how conversations are told apart.
        always: whether the settings keep every conversation on its account, whatever is switched on.
    """
    scope = group_scope(group)
    found = conversation_of(request_kwargs, scope, settings.affinity_subagents, messages=messages)
    if found is not None and (always or switches.prompt or (switches.session and found.named)):
        return Key(found.key)
    caller = caller_of(request_kwargs) if switches.caller else ""
    if not caller:
        return None
    whole = find_conversation(Said(caller, body={"litellm_session_id": "deployment_affinity"}), scope)
    return None if whole is None else Key(whole.key)


def remember(request_kwargs: Any, key: Key | None) -> None:
    """Leave the key where the hooks find it that see the request later."""
    where = next((given for name in METADATA if isinstance(given := request_kwargs.get(name), dict)), None)
    if where is not None and key is not None:
        where[_REMEMBERED] = key


def remembered(kwargs: Mapping[str, Any]) -> Key | None:
    """Return the key that was left for a request, if any.

    Args:
        kwargs: what LiteLLM gives a provider or a hook.
    """
    for holder in (kwargs, params_of(kwargs)):
        for name in METADATA:
            given = holder.get(name)
            key = given.get(_REMEMBERED) if isinstance(given, Mapping) else None
            if isinstance(key, Key):
                return key
    return None


__all__ = ["Key", "key_of", "remember", "remembered"]
