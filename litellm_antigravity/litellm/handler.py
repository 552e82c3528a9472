"""The provider: a `CustomLLM` that serves ``antigravity/...`` from the pool of accounts."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, NoReturn, TypeVar

from litellm.llms.custom_llm import CustomLLM
from litellm.types.utils import ModelResponse, ModelResponseStream

from litellm_antigravity.accounts import RefreshToken
from litellm_antigravity.dispatch import Answer, AsyncStreamedAnswer, Dispatcher, GeminiRequest, StreamedAnswer
from litellm_antigravity.errors import AccountsFileError, AntigravityError
from litellm_antigravity.litellm import told_headers
from litellm_antigravity.litellm.callers import caller_in
from litellm_antigravity.litellm.conversations import conversation_key
from litellm_antigravity.litellm.errors import as_litellm, check_choice, check_name, not_offered
from litellm_antigravity.litellm.model_info import costs_nothing, learn
from litellm_antigravity.litellm.routing.affinity import remembered
from litellm_antigravity.litellm.routing.member import Member, find_account
from litellm_antigravity.litellm.routing.narrow import PinnedRouting
from litellm_antigravity.litellm.seams.functions import OpensLater
from litellm_antigravity.litellm.seams.requests import account_named, model_of, params_of, served_by
from litellm_antigravity.litellm.seams.router import deployments_for, model_lists
from litellm_antigravity.litellm.settled import take_effect
from litellm_antigravity.litellm.timeouts import timeout_of
from litellm_antigravity.litellm.translation import ChunkTranslator, from_gemini, names_remote_media
from litellm_antigravity.litellm.translation.headers import callers_headers
from litellm_antigravity.litellm.translation.request import to_gemini, without_signatures
from litellm_antigravity.masking import mask_email
from litellm_antigravity.models import PROVIDER
from litellm_antigravity.pool import AccountPool, Lease
from litellm_antigravity.refusals import Refusal
from litellm_antigravity.settings import Settings

_GOOGLE = ("gemini", "vertex_ai", "vertex_ai_beta")
_Begun = TypeVar("_Begun", Answer, AsyncStreamedAnswer)


def _refusing(what: str) -> Callable[..., NoReturn]:
    def refuse(_: object, *, model: str, **__: Any) -> NoReturn:
        """Refuse; see `not_offered`."""
        raise not_offered(what, model)

    return refuse


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
        self.routing = PinnedRouting(lambda: self.dispatcher, model_lists)

    def use(self, settings: Settings) -> None:
        """Serve with these settings from now on; does nothing when they are in use already."""
        with self._lock:
            if settings != self._settings:
                self._settings = settings
                self._dispatcher = None
                self.routing.forget()

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
                    dispatcher = Dispatcher(self._settings)
                    take_effect(dispatcher.settings, self)  # after `register`; the first known in a proxy
                    self._dispatcher = dispatcher
        return dispatcher

    @property
    def is_configured(self) -> bool:
        """Whether `use` has been called."""
        return self._settings is not None

    @property
    def longest_wait(self) -> float | None:
        """The seconds that ``Retry-After`` says at most; ``None`` for no cap."""
        return None if self._dispatcher is None else self._dispatcher.settings.max_retry_after_seconds

    def serves(self, group: object) -> bool:
        """Return whether the deployments that LiteLLM knows by this name are ours."""
        return isinstance(group, str) and any(
            model_of(deployment).startswith(f"{PROVIDER}/") for deployment in deployments_for(group)
        )

    def sign(self, kwargs: dict[str, Any], member: Member) -> dict[str, Any] | None:
        """Sign a request to another provider, if the accounts file has a token source for its account.

        A Google sign-in made for Antigravity (a refresh token) is never used for another provider.

        Args:
            kwargs: of LiteLLM's call; not changed.
            member: its deployment.

        Returns:
            The kwargs to go on with, or ``None`` to leave them as they are.

        Raises:
            litellm.AuthenticationError: when the token source gives no token.
        """
        if member.api_key is not None:
            return None
        dispatcher = self.dispatcher
        try:
            account = find_account(dispatcher.pool.accounts.current().accounts, member.name)
            if account is None or isinstance(account.credential, RefreshToken):
                return None
            token = dispatcher.token_for(account).get_secret_value()
        except AccountsFileError:
            return None  # a gateway without Antigravity accounts
        except AntigravityError as error:
            raise as_litellm(error, str(kwargs.get("model")), self.longest_wait) from None
        if member.provider in _GOOGLE:
            headers = {**(kwargs.get("extra_headers") or {}), "Authorization": f"Bearer {token}"}
            return {**kwargs, "extra_headers": headers}
        return {**kwargs, "api_key": token}

    def request(self, model: str, call: dict[str, Any], *, stream: bool = False) -> GeminiRequest:
        """Return the request for a call of LiteLLM's: for the whole pool, or for the account its deployment names."""
        check_name(model)
        dispatcher = self.dispatcher
        body = to_gemini(model, call["messages"], call["optional_params"])
        headers = callers_headers(call.get("headers"), model)
        call["logging_obj"].pre_call(
            input=call["messages"],
            api_key="",
            additional_args={"complete_input_dict": body, "api_base": dispatcher.settings.endpoint, "headers": {}},
        )
        timeout = timeout_of(call.get("timeout"), model)

        def mended(refusal: Refusal) -> dict[str, Any] | None:
            if not refusal.is_about_signature:
                return None
            return without_signatures(body, model, call["messages"], call["optional_params"])

        account_id, pool = self._pinned(call)
        key = remembered(call) if pool is not None else conversation_key(call, model, dispatcher.settings)
        request_id = getattr(call["logging_obj"], "litellm_call_id", None)
        return GeminiRequest(
            model,
            body,
            stream,
            timeout,
            account_id,
            pool,
            headers,
            conversation=key,
            request_id=request_id,
            caller=caller_in(call) if dispatcher.settings.fair_share else None,
            mended=mended,
        )

    def _pinned(self, call: dict[str, Any]) -> tuple[str | None, AccountPool | None]:
        """Return the account that the request's deployment names, and the pool of its group; ``None`` for any account.

        The Router puts its own ``model_info`` over whatever the caller sent.
        """
        info = served_by(call)
        name = account_named(info)
        if name is None:
            return None, None
        check_choice(params_of(call))
        known = self.routing.member_of(info)
        account_id = None if known is None else known[0].account_id(known[1].deployment_id)
        if known is not None and account_id is not None:
            return account_id, known[0].pool
        accounts = self.dispatcher.pool.accounts.current()
        account = find_account(accounts.accounts, name)
        if account is None:
            named = f"a deployment names the account {mask_email(name)!r}, which is not in {accounts.path}"
            raise AccountsFileError(f"{named}; correct model_info.account, or sign in with that account")
        return account.id, None

    def _raised(self, error: AntigravityError, model: str, call: dict[str, Any]) -> Exception:
        """Return LiteLLM's exception; for a pinned deployment one that lets the Router try the next deployment.

        When the whole group is limited it says so instead: there is no next one, and the Router would only sleep.
        """
        raised = as_litellm(error, model, self.longest_wait)
        info = served_by(call)
        may_go_on = getattr(raised, "status_code", None) == 429 and not getattr(error, "retries_spent", False)
        if account_named(info) is not None and may_go_on:
            if (limits := self.routing.limited_error_after(info)) is not None:
                return as_litellm(limits, model, self.longest_wait)
            if self.routing.member_of(info) is not None:
                raised.num_retries = None  # type: ignore[attr-defined]  # LiteLLM's exceptions have it
        return raised

    def completion(self, *, model: str, **call: Any) -> ModelResponse:
        """Serve a request; see `litellm.completion`."""
        try:
            answer = self.dispatcher.complete(self.request(model, call))
        except AntigravityError as error:
            raise self._raised(error, model, call) from None
        return _response(answer, model, call)

    def acompletion(self, *, model: str, **call: Any) -> Coroutine[Any, Any, ModelResponse]:
        """Serve a request on an event loop; see `litellm.acompletion`."""
        try:
            pending = self._begin(self.dispatcher.begin, model, call)
        except AntigravityError as error:
            raise self._raised(error, model, call) from None

        async def respond() -> ModelResponse:
            try:
                answer = await pending
            except AntigravityError as error:
                raise self._raised(error, model, call) from None
            return _response(answer, model, call)

        return respond()

    def streaming(self, *, model: str, **call: Any) -> Iterator[ModelResponseStream]:
        """Serve a streamed request; the stream has its first content when this returns."""
        try:
            answer = self.dispatcher.stream(self.request(model, call, stream=True))
        except AntigravityError as error:
            raise self._raised(error, model, call) from None
        told_headers.remember(call["logging_obj"], answer.lease, told_headers.headers_of(answer.lease))
        translator = ChunkTranslator(model, call["logging_obj"], call["optional_params"])
        return _chunks(answer, translator, model, served_by(call).get("id"), self.longest_wait)

    def astreaming(self, *, model: str, **call: Any) -> AsyncChunks:
        """Serve a streamed request on an event loop."""
        try:
            pending = self._begin(self.dispatcher.begin_stream, model, call, stream=True)
        except AntigravityError as error:
            raise self._raised(error, model, call) from None
        return AsyncChunks(pending, model, call, self._raised, self.longest_wait)

    def _begin(
        self,
        begin: Callable[[GeminiRequest], Coroutine[Any, Any, _Begun]],
        model: str,
        call: dict[str, Any],
        *,
        stream: bool = False,
    ) -> Coroutine[Any, Any, _Begun]:
        """Begin a request here and now; where something has to be fetched for it, later, in a thread of our own.

        We are in one of the event loop's threads, which are few and serve every other provider too.
        """
        if not names_remote_media(call["messages"]):
            return begin(self.request(model, call, stream=stream))

        async def later() -> _Begun:
            return await (await self.dispatcher.in_a_thread(lambda: begin(self.request(model, call, stream=stream))))

        return later()

    # What LiteLLM routes here, but upstream does not offer. Plain functions also where LiteLLM expects coroutines: it
    # calls both in the same way.

    embedding = aembedding = _refusing("embedding")
    image_generation = aimage_generation = _refusing("image_generation")
    image_edit = aimage_edit = _refusing("image_edit")


def _response(answer: Answer, model: str, call: dict[str, Any]) -> ModelResponse:
    response = from_gemini(
        answer.reply,
        model=model,
        model_response=call["model_response"],
        logging_obj=call["logging_obj"],
        request=answer.request.body,
        messages=call["messages"],
        optional_params=call["optional_params"],
    )
    told = told_headers.headers_of(answer.lease)
    told_headers.put_on(response, told)
    told_headers.remember(call["logging_obj"], answer.lease, told)
    learn(model)
    if costs_nothing(model, call.get("litellm_params") or {}):
        response._hidden_params["response_cost"] = 0.0  # else LiteLLM finds it out, by looking the model up repeatedly
    return response


def _named(chunks: Iterator[ModelResponseStream], lease: Lease, deployment_id: object) -> Iterator[ModelResponseStream]:
    """Name account and deployment on chunks; LiteLLM's proxy looks the deployment up for each that names none."""
    told = told_headers.headers_of(lease)
    for chunk in chunks:
        told_headers.put_on(chunk, told)
        if deployment_id is not None:
            chunk._hidden_params["model_id"] = deployment_id
        yield chunk


def _chunks(
    answer: StreamedAnswer,
    translator: ChunkTranslator,
    model: str,
    deployment_id: object,
    longest_wait: float | None,
) -> Iterator[ModelResponseStream]:
    learn(model)
    try:
        for reply in answer:
            yield from _named(translator.chunks(reply), answer.lease, deployment_id)
        yield from _named(translator.last_chunks(), answer.lease, deployment_id)
    except AntigravityError as error:
        raise as_litellm(error, model, longest_wait) from None
    finally:
        answer.close()


class AsyncChunks(OpensLater):
    """The chunks of a stream on an event loop; opened by `open`, or else when the first one is asked for."""

    def __init__(
        self,
        pending: Coroutine[Any, Any, AsyncStreamedAnswer],
        model: str,
        call: dict[str, Any],
        raised: Callable[[AntigravityError, str, dict[str, Any]], Exception],
        longest_wait: float | None,
    ) -> None:
        self._pending = pending
        self._longest_wait = longest_wait
        self._raised = raised
        self._model = model
        self._call = call
        self._translator = ChunkTranslator(model, call["logging_obj"], call["optional_params"])
        self._answer: AsyncStreamedAnswer | None = None
        self._chunks: AsyncGenerator[ModelResponseStream, None] | None = None

    async def open(self) -> None:
        """Wait for the first content.

        Raises:
            Exception: LiteLLM's exception for what keeps it from coming.
        """
        await self._opened()

    async def _opened(self) -> AsyncGenerator[ModelResponseStream, None]:
        if self._chunks is None:
            try:
                self._answer = answer = await self._pending
            except AntigravityError as error:
                raise self._raised(error, self._model, self._call) from None
            told_headers.remember(self._call["logging_obj"], answer.lease, told_headers.headers_of(answer.lease))
            deployment_id = served_by(self._call).get("id")
            self._chunks = _achunks(answer, self._translator, self._model, deployment_id, self._longest_wait)
        return self._chunks

    def __aiter__(self) -> AsyncIterator[ModelResponseStream]:
        return self

    async def __anext__(self) -> ModelResponseStream:
        return await (await self._opened()).__anext__()

    async def aclose(self) -> None:
        """Release the stream before its end."""
        if self._chunks is not None:
            await self._chunks.aclose()
        if self._answer is not None:  # who never began to read has nothing closed by that
            await self._answer.aclose()


async def _achunks(
    answer: AsyncStreamedAnswer,
    translator: ChunkTranslator,
    model: str,
    deployment_id: object,
    longest_wait: float | None,
) -> AsyncGenerator[ModelResponseStream, None]:
    """Do what `_chunks` does, without holding on to the `AsyncChunks`: one that nobody reads goes at once."""
    learn(model)
    try:
        async for reply in answer:
            for chunk in _named(translator.chunks(reply), answer.lease, deployment_id):
                yield chunk
        for chunk in _named(translator.last_chunks(), answer.lease, deployment_id):
            yield chunk
    except AntigravityError as error:
        raise as_litellm(error, model, longest_wait) from None
    finally:
        await answer.aclose()


__all__ = ["AntigravityLLM", "AsyncChunks"]
