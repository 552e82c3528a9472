"""A request to upstream, translated already, and the answers that a caller gets to it."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from litellm_antigravity.errors import RequestRefusedError
from litellm_antigravity.lease import SERVED, Lease
from litellm_antigravity.models import canonical_model
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.refusals import Refusal
from litellm_antigravity.reports import Reports
from litellm_antigravity.selection.fairness import Caller
from litellm_antigravity.selection.patience import RequestKind
from litellm_antigravity.telling import tell_usage
from litellm_antigravity.wire.streams import AsyncReplyStream, Json, ReplyStream

DEFAULT_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class GeminiRequest:
    """A request, translated already.

    Attributes:
        model: upstream's name of the model.
        body: the Gemini request.
        stream: whether the reply is to be streamed.
        timeout: seconds until the first content, over all accounts; an `httpx.Timeout` holds for each account anew.
        account_id: the one account that may serve it, when somebody else has chosen.
        pool: where that account is; the dispatcher's own pool when absent.
        headers: the caller's own, beside ours.
        reply_failed: whether a reply to it has failed already, so that there is no further try.
        conversation: the key of the conversation that it belongs to; see `LeaseRequest`.
        request_id: LiteLLM's id of the call, for whoever asks what became of it.
        caller: who sent it; see `LeaseRequest`.
        mended: returns another body when upstream refuses this one, or ``None``; asked once for each account.
    """

    model: str
    body: Json
    stream: bool = False
    timeout: float | httpx.Timeout = DEFAULT_TIMEOUT_SECONDS
    account_id: str | None = None
    pool: AccountPool | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    reply_failed: bool = False
    conversation: str | None = None
    request_id: str | None = None
    caller: Caller | None = None
    mended: Callable[[Refusal], Json | None] | None = None

    @property
    def seconds(self) -> float:
        """Seconds that it may take until its first content; ``math.inf`` when no one number says so."""
        return math.inf if isinstance(self.timeout, httpx.Timeout) else self.timeout

    @property
    def kind(self) -> RequestKind:
        """What decides how long upstream takes for it."""
        config = self.body.get("generationConfig")
        thinking = config.get("thinkingConfig") if isinstance(config, Mapping) else None
        thinks = isinstance(thinking, Mapping) and thinking.get("thinkingBudget") != 0
        return RequestKind(canonical_model(self.model), self.stream, thinks)


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, who served it, and what had been asked."""

    reply: Json
    lease: Lease
    request: GeminiRequest


class StreamedAnswer:
    """A stream and who serves it. Iterate it to the end or close it.

    Args:
        reports: where to report how it ended.
        seconds: that the caller waits for that at most.
        stream: the replies.
        lease: who serves it.
        again: asks once more, for a reply that fails when the caller has no more than thoughts; ``None`` for no more.
    """

    def __init__(
        self,
        reports: Reports,
        seconds: float,
        stream: ReplyStream,
        lease: Lease,
        again: Callable[[], StreamedAnswer] | None = None,
    ) -> None:
        self.lease = lease
        self._again = again
        self._reports = reports
        self._seconds = seconds
        self._stream = stream

    def __iter__(self) -> Iterator[Json]:
        try:
            yield from self._stream
            if not self.lease.probes:  # else reported with the first content
                self._reports.report(self.lease, SERVED, self._seconds)
            tell_usage(self.lease, self._stream.watch.usage)
        except RequestRefusedError as error:
            self._reports.report(self.lease, error.refusal, self._seconds)
            if self._again is not None and self._stream.watch.may_be_repeated(error.refusal):
                self._stream.close()
                more = self._again()
                self.lease, self._stream = more.lease, more._stream
                yield from more
                return
            raise RequestRefusedError(error.refusal, account=self.lease.account.label) from None
        finally:
            self.close()

    def close(self) -> None:
        """Release the connection."""
        self.lease.end()
        self._stream.close()


class AsyncStreamedAnswer:
    """What `StreamedAnswer` is, on an event loop."""

    def __init__(
        self,
        reports: Reports,
        seconds: float,
        stream: AsyncReplyStream,
        lease: Lease,
        again: Callable[[], Coroutine[Any, Any, AsyncStreamedAnswer]] | None = None,
    ) -> None:
        self.lease = lease
        self._again = again
        self._reports = reports
        self._seconds = seconds
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[Json]:
        try:
            async for reply in self._stream:
                yield reply
            if not self.lease.probes:
                await self._reports.areport(self.lease, SERVED, self._seconds)
            tell_usage(self.lease, self._stream.watch.usage)
        except RequestRefusedError as error:
            await self._reports.areport(self.lease, error.refusal, self._seconds)
            if self._again is not None and self._stream.watch.may_be_repeated(error.refusal):
                await self._stream.aclose()
                more = await self._again()
                self.lease, self._stream = more.lease, more._stream
                async for reply in more:
                    yield reply
                return
            raise RequestRefusedError(error.refusal, account=self.lease.account.label) from None
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Release the connection."""
        self.lease.end()
        await self._stream.aclose()
