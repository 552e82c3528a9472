"""The Gemini replies of a stream to LiteLLM's chunks: LiteLLM's own translation, put in an order it understands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import litellm
from litellm.types.utils import Delta, ModelResponseStream, StreamingChoices, Usage

from litellm_antigravity.litellm.seams import borrowed
from litellm_antigravity.litellm.target import Target
from litellm_antigravity.litellm.translation.provenance import signatures_in
from litellm_antigravity.litellm.translation.replies import (
    CUT_OFF,
    failed_finish,
    one_kind_each,
    parts_of,
    prepare_reply,
)
from litellm_antigravity.litellm.translation.signatures import THOUGHTS, SignedThoughts
from litellm_antigravity.litellm.translation.tool_names import ToolNames
from litellm_antigravity.models import family_of

_CONTENT: Final = (
    "content",
    "tool_calls",
    "function_call",
    "reasoning_content",
    "thinking_blocks",
    "images",
    "audio",
    "annotations",
    "provider_specific_fields",
)


class ChunkTranslator:
    """Turns the Gemini replies of one stream into LiteLLM's chunks.

    LiteLLM stops at the first chunk with a finish reason and drops a content-less one's usage, while its Gemini code
    stamps a finish reason on every chunk. So the order is made: content, then usage alone, then the finish reason
    alone.

    Args:
        model: the name that was asked for.
        logging_obj: LiteLLM's logging object.
        optional_params: the OpenAI parameters.
        thoughts: where signed thoughts are kept for later requests; see `signatures`.
    """

    def __init__(
        self,
        model: str,
        logging_obj: Any,
        optional_params: Mapping[str, Any] | None = None,
        *,
        thoughts: SignedThoughts = THOUGHTS,
    ) -> None:
        self._model = model
        self._names = ToolNames.of(optional_params or {}, family_of(model))
        self._parser = borrowed.ModelResponseIterator(
            streaming_response=None, sync_stream=False, logging_obj=borrowed.parsers_logging(logging_obj)
        )
        self._thoughts = thoughts
        target = Target.of(model)
        self._is_gemini, self._signer = target.is_gemini, target.signer
        self._id: str | None = None
        self._metadata: dict[str, Any] = {}
        self._usage: Usage | None = None
        self._finish: str | None = None
        self._failed: str | None = None
        self._calls: list[str | None] = []
        self._said: list[str] = []
        self._thinks = False
        self._signed: list[dict[str, str]] = []
        self._begun = False

    def chunks(self, reply: Mapping[str, Any]) -> Iterator[ModelResponseStream]:
        """Yield the content of one reply; its usage and finish reason are kept for the end."""
        for signature in signatures_in(reply.get("candidates")):
            self._thoughts.note_maker(signature, self._signer)
        for piece in one_kind_each(prepare_reply(self._with_all_usage(reply), self._names)):
            for chunk in (*self._beginning_of_thought(piece), *self._chunk(piece)):
                if not self._begun:
                    self._begun = True
                    chunk.choices[0].delta.role = "assistant"  # LiteLLM says so for its own providers only
                    self._id = str(reply.get("responseId") or chunk.id)
                chunk.id = self._id
                yield chunk

    def _with_all_usage(self, reply: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a reply with what the earlier ones said of the usage: not every one repeats all of it."""
        usage = reply.get("usageMetadata")
        if not isinstance(usage, Mapping):
            return reply
        self._metadata = {**self._metadata, **usage}
        return {**reply, "usageMetadata": self._metadata}

    def _beginning_of_thought(self, reply: Mapping[str, Any]) -> Iterator[ModelResponseStream]:
        """Yield an empty thought where one begins.

        ``/v1/messages`` of LiteLLM 1.109 and older sends the first thought that it sees twice.
        """
        parts = [part for candidate in reply.get("candidates") or () for part in parts_of(candidate)]
        thinks = bool(parts) and bool(parts[0].get("thought"))
        if thinks and not self._thinks and parts[0].get("text"):
            chunk = self._empty()
            chunk.choices[0].delta = Delta(
                content=None, reasoning_content="", thinking_blocks=[{"type": "thinking", "thinking": ""}]
            )
            yield chunk
        if parts:
            self._thinks = thinks and not parts[-1].get("thoughtSignature")

    def _chunk(self, reply: Mapping[str, Any]) -> Iterator[ModelResponseStream]:
        chunk = self._parser.chunk_parser(dict(reply))
        self._keep_usage(chunk)
        if chunk is None or not chunk.choices:
            return
        if _really_ends(reply):
            self._finish = chunk.choices[0].finish_reason or "stop"
        candidates = reply.get("candidates") or []
        self._failed = self._failed or next(filter(None, map(failed_finish, candidates[:1])), None)
        for number, choice in enumerate(chunk.choices):
            choice.finish_reason = None
            if number < len(candidates):
                self._add_thoughts(choice.delta, candidates[number])
        calls = getattr(chunk.choices[0].delta, "tool_calls", None) or ()
        self._calls += [call.id for call in calls]
        if self._is_gemini:
            self._thoughts.remember_calls(calls)
        if any(getattr(choice.delta, name, None) for choice in chunk.choices for name in _CONTENT):
            chunk.model = self._model
            yield chunk

    def _add_thoughts(self, delta: Any, candidate: Any) -> None:
        """Put the thoughts into the delta as blocks with their signatures, which LiteLLM leaves out of streams."""
        blocks: list[dict[str, str]] = []
        for part in parts_of(candidate):
            if not part.get("thought"):
                continue
            block = {"type": "thinking", "thinking": str(part.get("text") or "")}
            self._said.append(block["thinking"])
            if part.get("thoughtSignature"):
                block["signature"] = part["thoughtSignature"]
                self._signed.append({"thinking": "".join(self._said), "signature": block["signature"]})
                self._said = []
            blocks.append(block)
        if blocks:
            delta.thinking_blocks = blocks
            if getattr(delta, "reasoning_content", None) is None:
                delta.reasoning_content = ""  # LiteLLM 1.90 passes on no delta that has only a signature

    def last_chunks(self) -> Iterator[ModelResponseStream]:
        """Yield the usage and the finish reason, which end the stream."""
        if self._signed and not self._is_gemini:
            self._thoughts.remember(self._signed, self._calls, self._signer)
        if self._usage is not None:
            chunk = self._empty()
            chunk.usage = self._usage
            yield chunk
        if self._failed is not None:
            yield self._cut_off(self._failed)
            return
        finish = self._finish or "stop"
        # Older LiteLLM looks for tool calls in the last chunk only; OpenAI's clients look at the reason.
        yield self._empty("tool_calls" if finish == "stop" and self._calls else finish)

    def _cut_off(self, reason: str) -> ModelResponseStream:
        chunk = self._empty(CUT_OFF)
        chunk.choices[0].delta.provider_specific_fields = {"native_finish_reason": reason}
        return chunk

    def _keep_usage(self, chunk: Any) -> None:
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            self._usage = usage
            chunk.usage = None

    def _empty(self, finish_reason: str | None = None) -> ModelResponseStream:
        choice = StreamingChoices(index=0, delta=Delta(content=None), finish_reason=finish_reason)
        return litellm.ModelResponseStream(id=self._id, model=self._model, choices=[choice])


def _really_ends(reply: Mapping[str, Any]) -> bool:
    candidates = reply.get("candidates") or [{}]
    return "promptFeedback" in reply or bool(candidates[0].get("finishReason"))


__all__ = ["ChunkTranslator"]
