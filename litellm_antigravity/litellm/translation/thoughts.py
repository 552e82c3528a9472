"""Thoughts and signatures in the history.

Those of Claude and GPT-OSS models are taken out before LiteLLM translates, and put back, signed, after it. Anthropic
takes a thought with its signature only, and checks it where the model goes on with a turn of its own: after the results
of its tools. That turn has to begin with a thought if the model is to think now, and must have none if it is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from litellm_antigravity.litellm.translation.signatures import SignedThoughts

Json = dict[str, Any]

_MARK: Final = "\x00thoughts-"


def set_thoughts_aside(messages: Sequence[Json], remembered: SignedThoughts, *, thinks: bool, family: str) -> list[Any]:
    """Put marks in the place of the messages' thoughts; `restored` puts the signed ones back.

    LiteLLM sends thoughts without their signatures, which Claude rejects.

    Args:
        messages: prepared ones; changed.
        remembered: the thoughts of former replies, for histories that hold none.
        thinks: whether the model is to think now; else only what the history itself holds is kept.
        family: whose signatures the model takes.

    Returns:
        list: per mark, the blocks that it stands for.
    """
    aside: list[Any] = []
    for message in messages:
        if message["role"] != "assistant":
            continue
        message.pop("reasoning_content", None)
        blocks = _signed(message.pop("thinking_blocks", None))
        known = bool(blocks) and all(remembered.maker_of(block["signature"]) == family for block in blocks)
        if thinks and not known:  # what is remembered beats what a client made of it
            ids = [call.get("id") for call in message.get("tool_calls") or () if isinstance(call, dict)]
            blocks = remembered.recall(ids, family) or blocks
        if blocks:
            message["reasoning_content"] = f"{_MARK}{len(aside)}"
            aside.append(blocks)
    return aside


def _signed(blocks: Any) -> list[dict[str, str]]:
    return [
        {"thinking": str(block.get("thinking") or ""), "signature": block["signature"]}
        for block in (blocks if isinstance(blocks, list) else ())
        if isinstance(block, Mapping) and block.get("type") == "thinking"
        if isinstance(block.get("signature"), str) and block["signature"]
    ]


def restored(part: Json, aside: Sequence[Any]) -> list[Json]:
    """Return what a translated part that is a thought stands for: signed thoughts, or nothing."""
    text = part.get("text")
    if not (isinstance(text, str) and text.startswith(_MARK)):
        return []
    blocks = aside[int(text.removeprefix(_MARK))]
    return [{"thought": True, "text": block["thinking"], "thoughtSignature": block["signature"]} for block in blocks]


def may_think(contents: Sequence[Json]) -> bool:
    """Return whether the model may think now.

    Not where it goes on with words that were put into its mouth, and not where the turn that it goes on with does not
    begin with a signed thought: its thoughts were lost, or it did not think when it began.

    Args:
        contents: the first one the user's.
    """
    if contents[-1]["role"] != "user":
        return False
    grouped = groupby(contents, key=lambda content: str(content["role"]))
    turns = [[part for content in group for part in content["parts"]] for _, group in grouped]
    return all(parts[0].get("thought") and parts[0].get("thoughtSignature") for parts in _beginnings(turns))


def _beginnings(turns: Sequence[Sequence[Json]]) -> Iterator[Sequence[Json]]:
    """Yield what the model said first in the turn that it goes on with; nothing when the user begins a new one.

    A turn begins after the user's words. Whether those beside the results of tools count is not certain, so that there
    may be several beginnings.

    Args:
        turns: the user's and the model's by turns, both ends the user's.
    """
    for number in range(len(turns) - 1, 0, -2):
        if not any("functionResponse" in part for part in turns[number]):
            return
        if not all("functionResponse" in part for part in turns[number - 2]):
            yield turns[number - 1]


def without_thoughts(contents: Sequence[Json]) -> list[Json]:
    """Return the contents without thoughts, and without those that hold nothing else."""
    kept = []
    for content in contents:
        parts = [part for part in content["parts"] if not part.get("thought")]
        if parts:
            kept.append({**content, "parts": parts})
    return kept


def without_last_thoughts(parts: list[Json]) -> list[Json]:
    """Return the parts of a message without thoughts at its end: Anthropic takes none that lead to nothing."""
    end = len(parts)
    while end and parts[end - 1].get("thought"):
        end -= 1
    return parts[:end]


__all__ = ["may_think", "restored", "set_thoughts_aside", "without_last_thoughts", "without_thoughts"]
