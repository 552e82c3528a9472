"""The provider: a `CustomLLM` that serves ``antigravity/...`` from the pool of accounts."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import httpx
from litellm.llms.custom_llm import CustomLLM
from litellm.types.utils import ModelResponse, ModelResponseStream

from litellm_antigravity.dispatch import (
    DEFAULT_TIMEOUT_SECONDS,
    AsyncStreamedAnswer,
    Dispatcher,
    GeminiRequest,
    StreamedAnswer,
)
from litellm_antigravity.errors import AntigravityError
from litellm_antigravity.litellm import seams
from litellm_antigravity.litellm.errors import ACCOUNT_HEADER, as_litellm
from litellm_antigravity.litellm.translation import ChunkTranslator, from_gemini, to_gemini
from litellm_antigravity.pool import Lease
from litellm_antigravity.settings import Settings


class AntigravityLLM(CustomLLM):  # type: ignore[misc]  # LiteLLM's types are not followed, see pyproject.toml
    """Chooses an account for each request, signs the request as that account and fails over to the next one.

    Opens nothing until the first request. The four methods are LiteLLM's interface. The two asynchronous ones are plain
    functions that return a coroutine or an asynchronous iterator: LiteLLM calls them in a thread, so that choosing an
    account, which may touch the disk, does not block the event loop.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._settings: Settings | None = None
        self._dispatcher: Dispatcher | None = None

    def use(self, settings: Settings) -> None:
        """Serve with these settings from now on; does nothing when they are in use already."""
        with self._lock:
            if settings != self._settings:
                self._settings = settings
                self._dispatcher = None

    @property
    def dispatcher(self) -> Dispatcher:
        """What serves the requests; made when first asked for.

        Raises:
            SettingsError: when the settings of the environment or of a file are wrong.
        """
        dispatcher = self._dispatcher
        if dispatcher is None:
            with self._lock:
                dispatcher = self._dispatcher
                if dispatcher is None:
                    dispatcher = self._dispatcher = Dispatcher(self._settings)
        return dispatcher

    def completion(self, *, model: str, **call: Any) -> ModelResponse:
        """Serve a request; see `litellm.completion`."""
        try:
            dispatcher = self.dispatcher
            request = _request(dispatcher, model, call)
            answer = dispatcher.complete(request)
        except AntigravityError as error:
            raise as_litellm(error, model) from error
        return _response(answer.reply, answer.lease, request, model, call)

    def acompletion(self, *, model: str, **call: Any) -> Coroutine[Any, Any, ModelResponse]:
        """Serve a request on an event loop; see `litellm.acompletion`."""
        try:
            dispatcher = self.dispatcher
            request = _request(dispatcher, model, call)
            pending = dispatcher.begin(request)
        except AntigravityError as error:
            raise as_litellm(error, model) from error

        async def respond() -> ModelResponse:
            try:
                answer = await pending
            except AntigravityError as error:
                raise as_litellm(error, model) from error
            return _response(answer.reply, answer.lease, request, model, call)

        return respond()

    def streaming(self, *, model: str, **call: Any) -> Iterator[ModelResponseStream]:
        """Serve a streamed request; the stream has its first content when this returns."""
        try:
            dispatcher = self.dispatcher
            answer = dispatcher.stream(_request(dispatcher, model, call, stream=True))
        except AntigravityError as error:
            raise as_litellm(error, model) from error
        return _chunks(answer, model, call["logging_obj"])

    def astreaming(self, *, model: str, **call: Any) -> AsyncChunks:
        """Serve a streamed request on an event loop."""
        try:
            dispatcher = self.dispatcher
            pending = dispatcher.begin_stream(_request(dispatcher, model, call, stream=True))
        except AntigravityError as error:
            raise as_litellm(error, model) from error
        return AsyncChunks(pending, model, call["logging_obj"])


def _request(dispatcher: Dispatcher, model: str, call: dict[str, Any], *, stream: bool = False) -> GeminiRequest:
    body = to_gemini(model, call["messages"], call["optional_params"])
    logging_obj = call["logging_obj"]
    logging_obj.pre_call(
        input=call["messages"],
        api_key="",
        additional_args={"complete_input_dict": body, "api_base": dispatcher.settings.endpoint, "headers": {}},
    )
    return GeminiRequest(model, body, stream, _timeout(call.get("timeout")))


def _timeout(given: object) -> float | httpx.Timeout:
    """Return the call's time-out in seconds until the first content."""
    if isinstance(given, httpx.Timeout):
        return given
    if isinstance(given, (int, float, str)) and not isinstance(given, bool):
        try:
            seconds = float(given)
        except ValueError:
            return DEFAULT_TIMEOUT_SECONDS
        return seconds if seconds > 0 else DEFAULT_TIMEOUT_SECONDS
    return DEFAULT_TIMEOUT_SECONDS


def _response(
    reply: dict[str, Any], lease: Lease, request: GeminiRequest, model: str, call: dict[str, Any]
) -> ModelResponse:
    response = from_gemini(
        reply,
        model=model,
        model_response=call["model_response"],
        logging_obj=call["logging_obj"],
        request=request.body,
        messages=call["messages"],
        optional_params=call["optional_params"],
    )
    _name_account(response, lease)
    return response


def _name_account(response: Any, lease: Lease) -> None:
    hidden = response._hidden_params
    hidden["additional_headers"] = {**(hidden.get("additional_headers") or {}), ACCOUNT_HEADER: lease.account.label}


def _chunks(answer: StreamedAnswer, model: str, logging_obj: Any) -> Iterator[ModelResponseStream]:
    translator = ChunkTranslator(model, logging_obj)
    try:
        for reply in answer:
            for chunk in translator.chunks(reply):
                _name_account(chunk, answer.lease)
                yield chunk
        yield from translator.last_chunks()
    except AntigravityError as error:
        raise as_litellm(error, model) from error
    finally:
        answer.close()


class AsyncChunks(seams.OpensLater):
    """The chunks of a stream on an event loop; opened by `open`, or else when the first one is asked for."""

    def __init__(self, pending: Coroutine[Any, Any, AsyncStreamedAnswer], model: str, logging_obj: Any) -> None:
        self._pending = pending
        self._model = model
        self._logging_obj = logging_obj
        self._answer: AsyncStreamedAnswer | None = None
        self._translated = self._translate()

    async def open(self) -> None:
        """Wait for the first content.

        Raises:
            Exception: LiteLLM's exception for what keeps it from coming.
        """
        if self._answer is None:
            try:
                self._answer = await self._pending
            except AntigravityError as error:
                raise as_litellm(error, self._model) from error

    def __aiter__(self) -> AsyncIterator[ModelResponseStream]:
        return self

    async def __anext__(self) -> ModelResponseStream:
        return await self._translated.__anext__()

    async def aclose(self) -> None:
        """Release the stream before its end."""
        await self._translated.aclose()
        if self._answer is not None:
            await self._answer.aclose()

    async def _translate(self) -> Any:
        await self.open()
        answer = self._answer
        if answer is None:  # pragma: no cover - `open` has set it or raised
            raise AssertionError
        translator = ChunkTranslator(self._model, self._logging_obj)
        try:
            async for reply in answer:
                for chunk in translator.chunks(reply):
                    _name_account(chunk, answer.lease)
                    yield chunk
            for chunk in translator.last_chunks():
                yield chunk
        except AntigravityError as error:
            raise as_litellm(error, self._model) from error
        finally:
            await answer.aclose()


__all__ = ["AntigravityLLM", "AsyncChunks"]
