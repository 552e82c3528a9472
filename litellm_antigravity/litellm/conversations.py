"""What LiteLLM's requests say of themselves, at every door: the caller, headers, fields and messages.

Behind the proxy a request carries what its client sent (``proxy_server_request``), elsewhere the keyword arguments of
the call are all there is. LiteLLM copies what it takes for a session id into fields of its own; of two agents of one
session it takes the parent's, and it makes ids up. What is a copy, or made up, is no name here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from litellm_antigravity.litellm.seams.requests import (
    GENERATED_SESSION,
    METADATA,
    account_named,
    caller_of,
    client_of,
    group_of,
    is_routed,
    params_of,
    served_by,
)
from litellm_antigravity.logs import decision, decisions_are_visible
from litellm_antigravity.models import family_of
from litellm_antigravity.selection.conversation import (
    Conversation,
    Said,
    Subagents,
    claudes_session,
    find_conversation,
    find_named,
)
from litellm_antigravity.settings import Settings

_FIELDS: Final = ("litellm_session_id", "prompt_cache_key", "promptCacheKey", "client_metadata")
_FROM_METADATA: Final = ("litellm_session_id", "session_id", "user_id")
_SESSIONS: Final = frozenset({"litellm_session_id", "session_id"})
_EXPLICIT: Final = "x-litellm-session-id"


def conversation_key(call: Mapping[str, Any], model: str, settings: Settings) -> str | None:
    """Return the key of the conversation that a provider's call belongs to; ``None`` when that keeps no account.

    A program that asks the provider by itself has a process to keep an account for, unless it names a session.

    Args:
        call: the keyword arguments of a provider.
        model: its model.
        settings: how conversations are told apart.
    """
    if settings.sticky_scope == "process":
        return None
    info = served_by(call)
    scope = group_scope(group_of(call)) if account_named(info) is not None else family_of(model)
    is_kept = settings.sticky_scope == "conversation" or is_routed(call)
    find = find_conversation if is_kept else find_named
    found = find(said_in(call), scope, settings.affinity_subagents)
    if found is None:
        return None
    if decisions_are_visible():
        decision("[accounts] conversation %s, known by %s", found.key, found.source)
    return found.key


def group_scope(name: str) -> str:
    """Return what the accounts of a pinned group are chosen for, as `conversation_of` wants it.

    Args:
        name: the ``model_name`` of its deployments.
    """
    return f"group {name}"


def conversation_of(
    call: Mapping[str, Any], scope: str, subagents: Subagents = "apart", *, messages: object = None
) -> Conversation | None:
    """Return the conversation that a call of LiteLLM's belongs to; ``None`` when nothing says which.

    Args:
        call: the keyword arguments of a provider, or of a Router's request.
        scope: what accounts are chosen for: a quota family, or a group of deployments.
        subagents: whether the agents of one session are conversations of their own.
        messages: where the call does not have them.
    """
    return find_conversation(said_in(call, messages=messages), scope, subagents)


def said_in(call: Mapping[str, Any], *, messages: object = None) -> Said:
    """Return what a call of LiteLLM's says of itself.

    Args:
        call: the keyword arguments of a provider, or of a Router's request.
        messages: where the call does not have them.
    """
    kwargs = _all_of(call)
    headers, body = client_of(kwargs)
    fields = kwargs if body is None else body
    metadata = _metadata_in(fields, _FROM_METADATA)
    said = {name: value for name in _FIELDS if (value := fields.get(name)) is not None}
    if not _SESSIONS.isdisjoint((*said, *metadata)):
        no_names = _no_names(headers, metadata, kwargs)
        said, metadata = (
            {name: value for name, value in given.items() if not (name in _SESSIONS and no_names(value))}
            for given in (said, metadata)
        )
    return Said(
        caller_of(kwargs),
        headers,
        said,
        metadata,
        kwargs.get("system") or kwargs.get("instructions"),
        call.get("messages") or call.get("input") or messages or (),
    )


def _all_of(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a call's fields in one mapping: a provider gets some of them in mappings within."""
    merged: dict[str, Any] = {}
    for part in (call.get("optional_params"), params_of(call), call):
        merged.update(part or {})
    return merged


def _metadata_in(fields: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return what both mappings say that callers and LiteLLM put metadata into."""
    both = [given for which in METADATA if isinstance(given := fields.get(which), Mapping)]
    return {name: given[name] for name in names for given in both if given.get(name) is not None}


def _no_names(
    headers: Mapping[str, str], metadata: Mapping[str, Any], kwargs: Mapping[str, Any]
) -> Callable[[object], bool]:
    """Return what tells whether a session id is LiteLLM's own: made up, or copied from where we look ourselves."""
    if any(_metadata_in(kwargs, (GENERATED_SESSION,)).values()):
        return lambda _: True
    copies = {value for name, value in headers.items() if name != _EXPLICIT}
    traced = _metadata_in(kwargs, ("trace_id", "session_id"))
    trace = traced.get("trace_id")
    if isinstance(trace, str) and trace != traced.get("session_id"):
        copies.add(trace)  # LiteLLM takes it where there is no session; another for each request
    if (session := claudes_session(metadata)) is not None:
        copies.add(session)
    return lambda session: isinstance(session, str) and session in copies


__all__ = ["conversation_key", "conversation_of", "group_scope", "said_in"]
