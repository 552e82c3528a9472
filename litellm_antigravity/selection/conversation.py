"""Which conversation a request belongs to, found in what the request says (docs/conversations.md).

A conversation is what a prompt cache lives in: the turns of one agent. Its key is a hash over who calls, what the
accounts are chosen for, and the conversation's name. So no caller's words lead to another caller's conversation.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final, Literal, TypeAlias

from litellm_antigravity.selection.binding import caller_in

Subagents: TypeAlias = Literal["apart", "with-parent"]

_CALLER_BYTES: Final = 5
_NAME_BYTES: Final = 14
_TEXT_CHARACTERS: Final = 8_000  # of a text that are looked at, at its beginning and at its end
_MOST_CHARACTERS: Final = 200_000  # of the system prompt, and of what users say, that are looked at
_MOST_MESSAGES: Final = 1000  # that are looked at for what the user said first
_MOST_PARTS: Final = 1000  # of a content that are looked at
_OTHER_CHARACTERS: Final = 200  # of what is no text
_NUMBER_BITS: Final = 128  # of a number that is a name
_DEPTH: Final = 6  # of nested blocks; no client nests deeper, and a hostile one must not exhaust the stack


@dataclass(frozen=True, slots=True)
class Said:
    """What a request says about itself, as its caller sent it.

    Attributes:
        caller: who sent it, in words of the program that serves it; empty where there is only one.
        headers: by name in lower case.
        body: its fields.
        metadata: what it has in ``metadata``.
        system: the system prompt, where that is no message.
        messages: in OpenAI's or Anthropic's format, or a text.
    """

    caller: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    system: Any = None
    messages: Any = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation.

    Attributes:
        key: opaque, at most 40 characters; `caller_in` says what part of it is the caller's.
        named: whether the request names it; else it was recognized by its beginning.
        source: where its name was found.
    """

    key: str
    named: bool
    source: str


def find_conversation(said: Said, scope: str, subagents: Subagents = "apart") -> Conversation | None:
    """Return the conversation that a request belongs to; ``None`` when nothing says which.

    Args:
        said: what it says.
        scope: what accounts are chosen for: a quota family, or a group of deployments.
        subagents: whether the agents of one session are conversations of their own.
    """
    named = find_named(said, scope, subagents)
    if named is not None:
        return named
    first = _first_words(said.messages)
    if first is None:
        return None
    key = _key(said.caller, scope, "recognized", _instructions(said), first)
    return Conversation(key, named=False, source="its beginning")


def find_named(said: Said, scope: str, subagents: Subagents = "apart") -> Conversation | None:
    """Return the conversation that a request names; ``None`` when it names none. See `find_conversation`."""
    if not (said.headers or said.body or said.metadata):  # as for most programs: there is nowhere to look
        return None
    for scheme in _SCHEMES:
        places = (scheme.own, scheme.parent) if subagents == "apart" else (scheme.parent, scheme.own)
        found = _first(chain(*places), said)
        if found is None:
            continue
        name, source = found
        agent = _agent(said, scheme) if subagents == "apart" else ""
        return Conversation(_key(said.caller, scope, "named", name, agent), named=True, source=source)
    return None


def _agent(said: Said, scheme: _Scheme) -> str:
    """Return what tells the agents of one session apart: their id, or else what they were asked first."""
    agent = _named(said.headers.get("x-claude-code-agent-id"))
    if agent is not None:
        return f"id {agent}"
    return "" if scheme.tells_agents(said) else f"asked {_first_words(said.messages) or ''}"


def _key(caller: str, scope: str, *parts: str) -> str:
    whole = hashlib.blake2b(digest_size=_NAME_BYTES)
    for part in (caller, scope, *parts):
        encoded = part.encode("utf-8", "surrogatepass")
        whole.update(b"%d:" % len(encoded))  # so that no two lists of parts are one text
        whole.update(encoded)
    whose = hashlib.blake2b(caller.encode("utf-8", "surrogatepass"), digest_size=_CALLER_BYTES)
    return f"{whose.hexdigest()}.{whole.hexdigest()}"


# Names


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a request may have a name.

    Attributes:
        label: what people call it.
        read: gives what is there.
    """

    label: str
    read: Callable[[Said], object]


def _named(value: object) -> str | None:
    """Return a name, which is a text or a number, without the space around it; ``None`` for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _NUMBER_BITS:
        return str(value)
    return value.strip()[:_TEXT_CHARACTERS] or None if isinstance(value, str) else None


def _first(places: Iterable[_Place], said: Said) -> tuple[str, str] | None:
    """Return the first name that is there, and what its place is called."""
    return next(((name, place.label) for place in places if (name := _named(place.read(said))) is not None), None)


def _header(name: str) -> _Place:
    return _Place(name, lambda said: said.headers.get(name))


def _field(name: str) -> _Place:
    return _Place(name, lambda said: said.body.get(name))


def _metadata(name: str) -> _Place:
    return _Place(f"metadata.{name}", lambda said: said.metadata.get(name))


def _client_metadata(name: str) -> _Place:
    def read(said: Said) -> object:
        given = said.body.get("client_metadata")
        return given.get(name) if isinstance(given, Mapping) else None

    return _Place(f"client_metadata.{name}", read)


_CLAUDES_USER: Final = re.compile(r"user_\S+_session_([0-9A-Za-z-]+)")


def claudes_session(metadata: Mapping[str, Any]) -> str | None:
    """Return the session that Claude Code's ``metadata.user_id`` names, in either of its spellings.

    Since 2.1 it is a JSON object with a ``session_id``, before it was ``user_..._account_..._session_<id>``.

    Args:
        metadata: of the request.
    """
    user = metadata.get("user_id")
    if isinstance(user, str):
        user = user[:_TEXT_CHARACTERS]
        if not user.startswith("{"):
            found = _CLAUDES_USER.fullmatch(user)
            return None if found is None else found[1]
        try:
            user = json.loads(user)
        except (ValueError, RecursionError):
            return None
    return _named(user.get("session_id")) if isinstance(user, Mapping) else None


_VENDORS_SESSION: Final = re.compile(r"x-(?!parent-|litellm-|claude-remote-).+-session-id")
_SESSION_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,}")


def _vendors_session(said: Said) -> object:
    """Return what a header of the form ``x-<vendor>-session-id`` says, as LiteLLM's session affinity reads it."""
    found = sorted(name for name in said.headers if _VENDORS_SESSION.fullmatch(name))
    return next((one for name in found if _SESSION_ID.fullmatch(one := said.headers[name])), None)


_CLAUDE_CODE: Final = re.compile(r"claude-cli/(\d{1,6})\.(\d{1,6})\.(\d{1,6})")
_CLAUDE_CODE_TELLS_AGENTS_SINCE: Final = (2, 1, 139)


def _claude_code_tells(said: Said) -> bool:
    found = _CLAUDE_CODE.match(said.headers.get("user-agent", ""))
    return found is not None and tuple(map(int, found.groups())) >= _CLAUDE_CODE_TELLS_AGENTS_SINCE


@dataclass(frozen=True, slots=True)
class _Scheme:
    """How a client names its conversations; docs/conversations.md says where each of them does.

    Attributes:
        own: where the agent's own conversation is named.
        parent: where the one is named that it works for.
        tells_agents: whether its agents can be told apart without looking at what they were asked: each has a
            conversation of its own, or an id where it is not the first.
    """

    own: tuple[_Place, ...]
    parent: tuple[_Place, ...] = ()
    tells_agents: Callable[[Said], bool] = lambda _: False


_SCHEMES: Final = (
    _Scheme((_header("x-litellm-session-id"), _field("litellm_session_id"), _metadata("litellm_session_id"))),
    _Scheme(  # Claude Code
        (_header("x-claude-code-session-id"), _Place("metadata.user_id", lambda said: claudes_session(said.metadata))),
        tells_agents=_claude_code_tells,
    ),
    _Scheme(  # Codex; `session_id` is also pi's, and Roo's and Cline's where they speak to OpenAI
        (_header("thread-id"), _header("conversation_id"), _client_metadata("thread_id")),
        (_header("session-id"), _header("session_id"), _client_metadata("session_id")),
        tells_agents=lambda _: True,
    ),
    _Scheme(  # OpenCode, pi
        (_header("x-session-affinity"), _header("x-session-id"), _header("x-opencode-session")),
        (_header("x-parent-session-id"),),
        tells_agents=lambda _: True,
    ),
    _Scheme((_Place("x-...-session-id", _vendors_session),)),
    _Scheme(  # Cline, Roo, Open WebUI
        (_header("x-task-id"), _header("x-roo-task-id"), _header("x-openwebui-chat-id")), tells_agents=lambda _: True
    ),
    _Scheme((_field("prompt_cache_key"), _field("promptCacheKey"))),
    _Scheme((_metadata("session_id"),)),
    _Scheme((_header("x-litellm-trace-id"),)),  # Cline's for a session; LiteLLM takes it for one, too
)


# What a conversation begins with, which is what a prompt cache goes by

_CONTEXT: Final = ("system-reminder", "environment_context", "environment_details")
"""Elements that clients put before what a user said, and that are other ones when a session is taken up again."""

_BILLING: Final = "x-anthropic-billing-header:"
_WITHOUT_DIGITS: Final = dict.fromkeys(map(ord, "0123456789"))


def _instructions(said: Said) -> str:
    """Return the system prompt without what changes in it from request to request: dates, times, counts, bills."""
    texts = _texts([said.system, *islice(_system_messages(said.messages), _MOST_PARTS)])
    kept = [text.partition("\n")[2] if text.startswith(_BILLING) else text for text in texts]
    return _ends("\n".join(kept)).translate(_WITHOUT_DIGITS)


def _system_messages(messages: object) -> Iterator[object]:
    for message in messages if isinstance(messages, (list, tuple)) else ():
        if not isinstance(message, Mapping) or message.get("role") not in ("system", "developer"):
            return
        yield message.get("content")


def _first_words(messages: object) -> str | None:
    """Return what the first user message says, without what its client put into it; ``None`` when there is none."""
    if isinstance(messages, str):
        return _ends(messages) or None
    with_context: str | None = None
    left = _MOST_CHARACTERS
    for message in islice(messages, _MOST_MESSAGES) if isinstance(messages, (list, tuple)) else ():
        if not isinstance(message, Mapping) or message.get("role") != "user":
            continue
        texts = list(_texts(message.get("content")))
        said = "\n".join(words for text in texts if (words := _without_context(text)))
        if said:
            return _ends(said)
        with_context = with_context or _ends("\n".join(texts)) or None
        if (left := left - sum(map(len, texts))) <= 0:
            break
    return with_context


def _without_context(text: str) -> str:
    for name in _CONTEXT:
        opening, closing, kept, at = f"<{name}>", f"</{name}>", list[str](), 0
        while (opened := text.find(opening, at)) != -1 and (closed := text.find(closing, opened)) != -1:
            kept.append(text[at:opened])
            at = closed + len(closing)
        text = "".join(kept) + text[at:]
    return text.strip()


def _ends(text: str) -> str:
    return text if len(text) <= 2 * _TEXT_CHARACTERS else text[:_TEXT_CHARACTERS] + text[-_TEXT_CHARACTERS:]


def _texts(content: object) -> Iterator[str]:
    """Yield the texts of a content, and of what else is in it the end: each API wraps a picture in other words."""
    left = _MOST_CHARACTERS
    for one in _leaves(content, Mapping):
        text = one.get("text") if isinstance(one, Mapping) else one
        if not isinstance(text, str):
            text = max(_leaves(one, ()), key=len, default="")[-_OTHER_CHARACTERS:]
        yield text[:left]
        if (left := left - len(text)) <= 0:
            return


def _leaves(content: object, other: type | tuple[()]) -> Iterator[Any]:
    """Yield every text in a content in order, and what is of another type, whole; only so many parts are looked at.

    How it is to be cached is left out: that changes from turn to turn.
    """
    within = [(content, _DEPTH)]
    for _ in range(_MOST_PARTS):
        if not within:
            return
        one, depth = within.pop()
        if isinstance(one, (str, other)):
            yield one
        elif depth:
            named = islice(one.items() if isinstance(one, Mapping) else (), _MOST_PARTS)
            values = [value for name, value in named if name != "cache_control"]
            parts = one[:_MOST_PARTS] if isinstance(one, (list, tuple)) else values
            within.extend((part, depth - 1) for part in reversed(parts))


__all__ = ["Conversation", "Said", "Subagents", "caller_in", "claudes_session", "find_conversation", "find_named"]
