"""Signatures of former replies, for histories that keep no more of a tool call than its id.

Gemini signs the call itself, and LiteLLM puts that signature into the id, but for the clients of ``/v1/messages``,
whose ids are too narrow for it. Claude signs the thought before the call, and takes the signature back only with the
thought: too long for any id. So they are remembered: by this process, and where it can be by all of the host.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from litellm_antigravity.forking import ForkAware
from litellm_antigravity.litellm.seams import borrowed
from litellm_antigravity.settings.model import StateBackend
from litellm_antigravity.state.shared_thoughts import SharedThoughts

if TYPE_CHECKING:
    from litellm_antigravity.state.joined_thoughts import JoinedThoughts

MAX_CHARACTERS: Final = 32_000_000
"""Of thoughts and signatures that are remembered; then the oldest go."""

ALTERED: Final = "altered"
"""The maker of a signature whose thought is no longer what was signed: nobody takes it."""

_REFUSED_BY: Final = "refused by "
_NOBODY: Final = ""  # that anybody knows
_MAKER: Final = "maker:"
_NOT_IN_IDS: Final = re.compile(r"[^A-Za-z0-9_-]")
_ABSENT_SECONDS: Final = 10.0  # for which a signature that nobody knows is not looked for again
_MAX_ABSENT: Final = 4096
_MOST_SOUGHT: Final = 64  # of the newest calls: a question is to have an end


class SignedThoughts(ForkAware):
    """The signed thoughts that came before tool calls, by the calls' ids; the newest ones of this process.

    Ids are upstream's or LiteLLM's, and not to be guessed; without its id no thought comes out.

    Args:
        max_characters: how much to remember.
        shared: those of the host's other processes.
    """

    def __init__(self, max_characters: int = MAX_CHARACTERS, shared: SharedThoughts | None = None) -> None:
        self._max_characters = max_characters
        self._shared = shared
        self._after_fork_in_child()
        self._watch_forks()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()  # the parent's might be held
        self._blocks: OrderedDict[str, list[dict[str, str]]] = OrderedDict()
        self._characters = 0
        self._absent: dict[str, float] = {}

    def share(
        self,
        directory: Path,
        *,
        on_network: bool = False,
        backend: StateBackend = "diskcache",
        among_hosts: JoinedThoughts | None = None,
    ) -> None:
        """Share them with the processes that use the same folder, and with other hosts; nothing is opened yet."""
        with self._lock:
            known = self._shared
            place = (directory, on_network, backend)
            is_new = known is None or (known.directory, known.on_network, known.backend) != place
            if is_new or among_hosts is not None or (known is not None and known.asks_other_hosts):
                self._shared = SharedThoughts(
                    directory, on_network=on_network, backend=backend, among_hosts=among_hosts
                )

    def seek(self, messages: Sequence[Mapping[str, Any]], *, of_calls: bool) -> None:
        """Ask other hosts, once, for what nobody on this host knows of a history.

        Args:
            messages: OpenAI's.
            of_calls: the signatures of the calls themselves; else the thoughts before them.
        """
        shared = self._shared
        if shared is None or not shared.asks_other_hosts:
            return
        now = time.monotonic()
        keys: list[str] = []
        for message in reversed(messages):
            calls = message.get("tool_calls") if message.get("role") == "assistant" else None
            ids = [call.get("id") for call in calls or () if isinstance(call, Mapping)]
            for call_id in ids if of_calls else ids[:1]:
                if not isinstance(call_id, str):
                    continue
                key = f"call:{_key(call_id)}" if of_calls else _key(call_id)
                if len(keys) < _MOST_SOUGHT and now >= self._absent.get(key, 0.0) and not self._read(key):
                    keys.append(key)
        found = shared.read_far(keys) if keys else None
        if found is None:
            return
        for key in keys:
            if blocks := found.get(key):
                self._keep(key, blocks)
            else:
                self._note_absent(key)

    def _note_absent(self, key: str) -> None:
        if len(self._absent) >= _MAX_ABSENT:
            self._absent = {}
        self._absent[key] = time.monotonic() + _ABSENT_SECONDS

    def remember(self, blocks: Sequence[Mapping[str, Any]], ids: Sequence[Any], family: str | None = None) -> None:
        """Remember the signed ones of LiteLLM's thinking blocks under the first of a message's call ids.

        Args:
            blocks: of one reply.
            ids: of the calls in it; without any, only who made the signatures is remembered.
            family: whose they are.
        """
        signed = [
            {"thinking": str(block.get("thinking") or ""), "signature": str(block["signature"])}
            for block in blocks
            if block.get("signature")
        ]
        for block in signed if family is not None else ():
            self.note_maker(block["signature"], str(family), block["thinking"])
        if signed and ids and isinstance(ids[0], str):
            self._write(_key(ids[0]), signed)

    def recall(self, ids: Sequence[Any], family: str | None = None) -> list[dict[str, str]]:
        """Return the thoughts that came before a message's calls, or none; with ``family``, no other family's."""
        blocks = self._read(_key(ids[0])) if ids and isinstance(ids[0], str) else []
        if family is not None and not all(self.may_be(block["signature"], family) for block in blocks):
            return []
        return blocks

    # Signatures of calls have keys of their own: no model takes another one's.

    def remember_calls(self, calls: Iterable[Any]) -> None:
        """Remember the signatures of tool calls themselves, as LiteLLM returns them."""
        for call in calls:
            fields = getattr(call, "provider_specific_fields", None)
            signature = fields.get("thought_signature") if isinstance(fields, Mapping) else None
            if signature and isinstance(call.id, str):
                self._write(f"call:{_key(call.id)}", [{"thinking": "", "signature": str(signature)}])

    def recall_call(self, call_id: Any) -> str | None:
        """Return the signature of a call, if it is known."""
        blocks = self._read(f"call:{_key(call_id)}") if isinstance(call_id, str) else []
        return blocks[0]["signature"] if blocks and self.may_be(blocks[0]["signature"], "gemini") else None

    # Who made a signature: its family, and a digest of the thought that it is about.

    def note_maker(self, signature: str, family: str, thought: str | None = None) -> None:
        """Remember that a model of ``family`` made a signature; with ``thought``, for that text and no other."""
        about = "" if thought is None else _digest(thought)
        key = _maker_key(signature)
        with self._lock:
            known = self._blocks.get(key)
            if known is not None and known[0]["signature"] == family and (not about or known[0]["thinking"] == about):
                return
            self._absent.pop(key, None)
        self._write(key, [{"thinking": about, "signature": family}])

    def note_refused(self, signature: str, family: str) -> None:
        """Remember that upstream did not take a signature for ``family``; what two families refuse goes to none."""
        maker, refused = self.maker_of(signature) or "", f"{_REFUSED_BY}{family}"
        self._judge(signature, ALTERED if maker.startswith(_REFUSED_BY) and maker != refused else refused)

    def doubt(self, signature: str) -> None:
        """Forget who made a signature, since upstream did not take it for a model of that family."""
        self._judge(signature, _NOBODY)

    def _judge(self, signature: str, maker: str) -> None:
        key = _maker_key(signature)
        with self._lock:
            self._absent.pop(key, None)
        self._write(key, [{"thinking": "", "signature": maker}])

    def may_be(self, signature: str, family: str) -> bool:
        """Return whether a signature may be of ``family``: made by it, or by nobody knows whom and not refused."""
        maker = self.maker_of(signature)
        return maker in (None, family) or (maker.startswith(_REFUSED_BY) and maker != f"{_REFUSED_BY}{family}")

    def maker_of(self, signature: str, thought: str | None = None) -> str | None:
        """Return the family that made a signature, `ALTERED` if for another text, ``None`` if nobody knows."""
        key = _maker_key(signature)
        if time.monotonic() < self._absent.get(key, 0.0):
            return None
        blocks = self._read(key)
        if not blocks:
            self._note_absent(key)
            return None
        about = blocks[0]["thinking"]
        return (blocks[0]["signature"] or None) if thought is None or about in ("", _digest(thought)) else ALTERED

    def _write(self, key: str, blocks: list[dict[str, str]]) -> None:
        self._keep(key, blocks)
        if self._shared is not None:
            self._shared.write(key, blocks, far=not key.startswith(_MAKER))

    def _read(self, key: str) -> list[dict[str, str]]:
        with self._lock:
            blocks = self._blocks.get(key)
            if blocks is not None:
                self._blocks.move_to_end(key)
                return [dict(block) for block in blocks]
        blocks = [] if self._shared is None else self._shared.read(key)
        if blocks:
            self._keep(key, blocks)
        return [dict(block) for block in blocks]

    def _keep(self, key: str, blocks: list[dict[str, str]]) -> None:
        with self._lock:
            self._forget(key)
            self._blocks[key] = blocks
            self._characters += _size(blocks)
            while self._characters > self._max_characters:
                self._forget(next(iter(self._blocks)))

    def _forget(self, key: str) -> None:
        self._characters -= _size(self._blocks.pop(key, []))


def _key(call_id: str) -> str:
    """Return what all spellings of a call's id have in common.

    LiteLLM changes it for clients of ``/v1/messages``, and clients shorten it, perhaps within the mark of a signature.
    """
    base = call_id.partition(borrowed.SIGNATURE_IN_ID)[0]
    for length in range(len(borrowed.SIGNATURE_IN_ID) - 1, 0, -1):
        if base.endswith(borrowed.SIGNATURE_IN_ID[:length]):
            base = base[:-length]
            break
    return _NOT_IN_IDS.sub("_", base)


def _maker_key(signature: str) -> str:
    return f"{_MAKER}{_digest(signature)}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _size(blocks: Sequence[Mapping[str, str]]) -> int:
    return sum(len(text) for block in blocks for text in block.values())


class _NoSignatures(SignedThoughts):
    """Knows no thought, and takes every signature for somebody else's."""

    def _read(self, key: str) -> list[dict[str, str]]:
        return [{"thinking": "", "signature": ALTERED}] if key.startswith(_MAKER) else []

    def _write(self, key: str, blocks: list[dict[str, str]]) -> None:
        pass


THOUGHTS: Final = SignedThoughts()
"""Those of this process."""

NO_SIGNATURES: Final = _NoSignatures()
"""For a request in which no signature is to go."""

__all__ = ["ALTERED", "MAX_CHARACTERS", "NO_SIGNATURES", "THOUGHTS", "SignedThoughts"]
