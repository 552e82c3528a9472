"""System messages in the middle of a conversation: they stay where they are, as notes of the operator.

Upstream has one system instruction, in front of everything. A system message that is moved there changes the beginning
of the prompt, and upstream's prompt cache finds nothing of the conversation again: agents that append one in each turn
(Claude Code does) paid for all of it each time (litellm #42104, #36559). LiteLLM's translation for Anthropic keeps them
in place as well, for models that know no such role there; Gemini's contents know none (`Content.role`: user or model).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, Final

from litellm_antigravity.litellm.blocks import text_of

Message = dict[str, Any]

NOTE: Final = "Note from the operator of this application, not from the user:"
"""What such a message begins with: else the model takes it for the user's words."""


def keep_in_place(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with those of the system that do not begin the conversation as notes in the user's turn.

    Args:
        messages: OpenAI's, in the order in which they go; a result of a tool comes before any words.
    """
    leading = sum(1 for _ in takewhile(_is_system, messages))
    later = (_note(message) if _is_system(message) else message for message in messages[leading:])
    return [*messages[:leading], *(message for message in later if message is not None)]


def _is_system(message: Message) -> bool:
    return bool(message["role"] == "system")


def _note(message: Message) -> Message | None:
    """Return a system message as a note, or ``None`` if it says nothing."""
    content = message.get("content")
    said = [text_of(one) for one in (content if isinstance(content, list) else [content or ""])]
    text = "\n\n".join(one for one in said if one.strip())
    return {"role": "user", "content": f"{NOTE}\n\n{text}"} if text else None


__all__ = ["NOTE", "keep_in_place"]
