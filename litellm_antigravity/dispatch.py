"""One request from start to end: account, token, project, call; on a refusal, what comes next.

`_steps` is the whole of the flow, written once as a generator that does no waiting of its own: it yields what is to
be sent or how long to pause, and is told what came of it. The sync and the async door drive it.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

import httpx
from pydantic import SecretStr

from litellm_antigravity.accounts import Account, AccountSource, StaticToken
from litellm_antigravity.clock import Clock, SystemClock
from litellm_antigravity.credentials.project import Projects
from litellm_antigravity.credentials.shared import SharedTokens
from litellm_antigravity.errors import (
    AllAccountsLimitedError,
    AntigravityError,
    CredentialError,
    GrantRevokedError,
    NoAccountLeftError,
    RequestRefusedError,
)
from litellm_antigravity.forking import ForkAware
from litellm_antigravity.logs import decision, decisions_are_visible
from litellm_antigravity.models import canonical_model
from litellm_antigravity.pool import SERVED, AccountPool, Lease, Wait
from litellm_antigravity.refusals import (
    Failover,
    GiveUp,
    NextStep,
    Refusal,
    RefusalKind,
    RetrySameAccount,
    timeout_refusal,
)
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.store import StateStore
from litellm_antigravity.wire import envelope
from litellm_antigravity.wire.exchange import AsyncReplyStream, Call, Exchange, Json, ReplyStream, Timeout
from litellm_antigravity.wire.http import HttpClients

DEFAULT_TIMEOUT_SECONDS = 600.0

CONNECT_SECONDS = 10.0
"""A connection that takes longer will not come; another account may have its turn within the request's time-out."""

_THREADS = 32
_QUICK_THREADS = 8
_PREPARING_THREADS = 16

_LIMITS = (RefusalKind.QUOTA, RefusalKind.RATE)


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
    """

    model: str
    body: Json
    stream: bool = False
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS
    account_id: str | None = None
    pool: AccountPool | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    reply_failed: bool = False


@dataclass(frozen=True, slots=True)
class _Send:
    lease: Lease
    call: Call
    timeout: Timeout


@dataclass(frozen=True, slots=True)
class _Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class _MayBlock:
    """What comes next may take seconds: a refresh, or waiting for another process's refresh."""


_Step: TypeAlias = "_Send | _Pause | _MayBlock"
_Steps: TypeAlias = Generator[_Step, "Refusal | None", None]
_Reply = TypeVar("_Reply", bound="Json | ReplyStream | AsyncReplyStream")
_Prepared = TypeVar("_Prepared")


class Budget:
    """The time that a request may still take."""

    def __init__(self, timeout: Timeout, monotonic: Callable[[], float]) -> None:
        self._each = timeout if isinstance(timeout, httpx.Timeout) else None
        self._monotonic = monotonic
        self._ends = math.inf if isinstance(timeout, httpx.Timeout) else monotonic() + timeout

    @property
    def left(self) -> float:
        """Seconds left; ``math.inf`` when every attempt has a time-out of its own."""
        return self._ends - self._monotonic()

    @property
    def for_credentials(self) -> float:
        """Seconds that a token or a project may take, so that another account may have its turn after it."""
        return self.left / 2

    def for_attempt(self) -> Timeout:
        """Return the time-out of the next attempt."""
        if self._each is not None:
            return self._each
        left = max(self.left, 0.001)
        return httpx.Timeout(left, connect=min(left, CONNECT_SECONDS))


class Dispatcher(ForkAware):
    """Serves requests from a pool of accounts.

    Opens nothing until the first request. The parts are passed in for tests; each has a default made from ``settings``.

    Args:
        settings: read from environment and files when absent.
        accounts: where the accounts come from.
        store: the shared state.
        clock: the source of time.
        clients: for HTTP.
        jitter: a source of numbers from 0 to 1.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        accounts: AccountSource | None = None,
        store: StateStore | None = None,
        clock: Clock | None = None,
        clients: HttpClients | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings or Settings()
        self.clock = clock or SystemClock()
        self.clients = clients or HttpClients()
        self.pool = AccountPool(self.settings, accounts=accounts, store=store, clock=self.clock)
        self._tokens = SharedTokens(self.settings, self.pool.accounts, self.pool.store, self.clients, self.clock)
        self._projects = Projects(self.settings, self.pool.store, self.clients, self.clock)
        self._exchange = Exchange(self.clients, self.clock)
        self._jitter = jitter
        self._after_fork_in_child()
        self._watch_forks()

    def _after_fork_in_child(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._quick: ThreadPoolExecutor | None = None
        self._preparing: ThreadPoolExecutor | None = None

    def _threads(self, step: _Step) -> ThreadPoolExecutor:
        """Return threads of our own: those of the event loop serve every other provider too and must not fill up.

        What may block has others than what follows a refusal, so that a failover never waits for a refresh.
        """
        if isinstance(step, _MayBlock):
            if self._executor is None:
                self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="antigravity-tokens")
            return self._executor
        if self._quick is None:
            self._quick = ThreadPoolExecutor(_QUICK_THREADS, thread_name_prefix="antigravity")
        return self._quick

    async def in_a_thread(self, prepare: Callable[[], _Prepared]) -> _Prepared:
        """Return what a function returns that may take seconds before there is a request to serve."""
        if self._preparing is None:
            self._preparing = ThreadPoolExecutor(_PREPARING_THREADS, thread_name_prefix="antigravity-preparing")
        return await asyncio.get_running_loop().run_in_executor(self._preparing, prepare)

    def token_for(self, account: Account) -> SecretStr:
        """Return an access token of an account; may block.

        Raises:
            CredentialError: when none can be had.
        """
        return self._tokens.ready(account) or self._tokens.token(account, timeout=DEFAULT_TIMEOUT_SECONDS)

    # The doors. Each raises AllAccountsLimitedError, NoAccountLeftError, RequestRefusedError, CredentialError and
    # AccountsFileError.

    def complete(self, request: GeminiRequest) -> Answer:
        """Serve a request and return its reply."""
        reply, lease = self._drive(request, self._exchange.send)
        return Answer(reply, lease, request)

    def stream(self, request: GeminiRequest) -> StreamedAnswer:
        """Serve a request and return its stream, read up to the first content."""
        stream, lease = self._drive(request, self._exchange.open)
        return StreamedAnswer(self, stream, lease, request)

    def begin(self, request: GeminiRequest) -> Coroutine[Any, Any, Answer]:
        """Choose an account here and now, blocking; return the coroutine that does the rest.

        Call it in a thread: what it does before it returns may touch the disk.
        """
        driven = self._adrive(request, self._exchange.asend)

        async def answer() -> Answer:
            reply, lease = await driven
            return Answer(reply, lease, request)

        return answer()

    def begin_stream(self, request: GeminiRequest) -> Coroutine[Any, Any, AsyncStreamedAnswer]:
        """Do what `begin` does for a stream; the coroutine ends when the first content is there."""
        driven = self._adrive(request, self._exchange.aopen)

        async def answer() -> AsyncStreamedAnswer:
            stream, lease = await driven
            return AsyncStreamedAnswer(self, stream, lease, request)

        return answer()

    # Driving the steps

    def _drive(self, request: GeminiRequest, send: Callable[[Call, Timeout], _Reply | Refusal]) -> tuple[_Reply, Lease]:
        steps = self._steps(request)
        step = next(steps)
        while True:
            outcome: Refusal | None = None
            if isinstance(step, _Pause):
                self.clock.sleep(step.seconds)
            elif isinstance(step, _Send):
                answer = send(step.call, step.timeout)
                if not isinstance(answer, Refusal):
                    if step.lease.probes or not isinstance(answer, ReplyStream):
                        self.pool.report(step.lease, SERVED)  # a stream is served when it has ended
                    return answer, step.lease
                outcome = answer
            step = steps.send(outcome)

    def _adrive(
        self, request: GeminiRequest, send: Callable[[Call, Timeout], Coroutine[Any, Any, _Reply | Refusal]]
    ) -> Coroutine[Any, Any, tuple[_Reply, Lease]]:
        steps = self._steps(request)
        first = next(steps)

        async def rest() -> tuple[_Reply, Lease]:
            step = first
            while True:
                outcome: Refusal | None = None
                if isinstance(step, _Pause):
                    await asyncio.sleep(step.seconds)
                elif isinstance(step, _Send):
                    answer = await send(step.call, step.timeout)
                    if not isinstance(answer, Refusal):
                        await self._begun(step.lease, answer)
                        return answer, step.lease
                    outcome = answer
                step = await asyncio.get_running_loop().run_in_executor(self._threads(step), steps.send, outcome)

        return rest()

    async def _begun(self, lease: Lease, answer: object) -> None:
        """Report a reply; a stream is served when it has ended, but what it probes is known already."""
        if not isinstance(answer, AsyncReplyStream):
            await self.pool.areport(lease, SERVED)
        elif lease.probes:
            try:
                await self.pool.areport(lease, SERVED)
            except BaseException:  # cancelled: nobody will read the stream
                await answer.aclose()
                raise

    def _steps(self, request: GeminiRequest) -> _Steps:
        """Yield what to do; end only by raising, since the driver stops asking once it has a reply."""
        is_sticky = self.settings.account_selection_strategy == "sticky"
        failover = Failover(
            switch_on_first_rate_limit=self.settings.switch_on_first_rate_limit,
            sticky_wait=self.settings.sticky_wait_seconds if is_sticky else 0.0,
            random=self._jitter,
            reply_failed=request.reply_failed,
        )
        budget = Budget(request.timeout, self.clock.monotonic)
        waited = 0.0
        refused: RequestRefusedError | None = None
        pool = request.pool or self.pool
        while True:
            try:
                taken = pool.try_acquire(
                    request.model,
                    tried=failover.tried,
                    waited=waited,
                    patience=max(0.0, budget.left),
                    only=request.account_id,
                )
            except (NoAccountLeftError, AllAccountsLimitedError) as error:
                raise _final(error, refused) from None
            if isinstance(taken, Wait):
                yield _Pause(taken.seconds)
                waited += taken.seconds
                continue
            latest = yield from self._on_account(taken, request, failover, budget)
            # What benched its account is told by the pool; of the rest the last one is told.
            if refused is None or latest.refusal.kind not in _LIMITS or refused.refusal.kind in _LIMITS:
                refused = latest

    def _on_account(
        self, lease: Lease, request: GeminiRequest, failover: Failover, budget: Budget
    ) -> Generator[_Step, Refusal | None, RequestRefusedError]:
        """Try one account until it is somebody else's turn; return its last refusal.

        Raises:
            RequestRefusedError: when no other account is to be tried.
        """
        token: SecretStr | None = None
        rejected: SecretStr | None = None
        while True:
            if budget.left <= 0:
                raise RequestRefusedError(timeout_refusal("the request's time was up"), account=lease.account.label)
            try:
                token = yield from self._token(lease, rejected, budget)
                project = yield from self._project(lease, token, budget)
            except RequestRefusedError as error:
                outcome = error.refusal
            except CredentialError as error:
                if not error.retryable and not isinstance(error, GrantRevokedError) and self._all_are_like(lease):
                    raise  # what is wrong is wrong for every account
                # Only a static token that was rejected is certain to be useless; another one is worth a second try.
                useless = rejected is not None and isinstance(lease.account.credential, StaticToken)
                outcome = _no_token(error, lease, rejected=useless)
            else:
                answer = yield _Send(
                    lease, self._call(request, token, project, last_try=failover.reply_failed), budget.for_attempt()
                )
                if answer is None:  # pragma: no cover - the driver ends with a reply or goes on with a refusal
                    raise AssertionError
                outcome = answer
            step = failover.next_step(lease.account.id, outcome)
            if isinstance(step, RetrySameAccount) and step.delay < budget.left:
                rejected = token if step.refresh_token else None
                if step.delay > 0:
                    yield _Pause(step.delay)
                continue
            self.pool.report(lease, _to_be_recorded(outcome, step))
            refused = RequestRefusedError(outcome, account=lease.account.label)
            if isinstance(step, (GiveUp, RetrySameAccount)) or budget.left <= 0:
                raise refused
            if decisions_are_visible():
                decision("[accounts] %s: %s; trying another account", lease.account.label, outcome.kind.value)
            return refused

    def _token(
        self, lease: Lease, rejected: SecretStr | None, budget: Budget
    ) -> Generator[_Step, Refusal | None, SecretStr]:
        token = self._tokens.ready(lease.account) if rejected is None else None
        if token is None:
            yield _MayBlock()
            token = self._tokens.token(lease.account, rejected=rejected, timeout=budget.for_credentials)
        return token

    def _project(self, lease: Lease, token: SecretStr, budget: Budget) -> Generator[_Step, Refusal | None, str]:
        project = self._projects.ready(lease.account)
        if project is None:
            yield _MayBlock()
            project = self._projects.project(lease.account, token, timeout=budget.for_credentials)
        return project

    def _all_are_like(self, lease: Lease) -> bool:
        """Return whether every account has the same kind of credential."""
        kind = lease.account.credential.kind
        return all(account.credential.kind == kind for account in self.pool.accounts.current().enabled)

    def _call(self, request: GeminiRequest, token: SecretStr, project: str, *, last_try: bool) -> Call:
        user_agent = self.settings.user_agent
        path = envelope.STREAM if request.stream else envelope.GENERATE
        return Call(
            self.settings.endpoint + path,
            {**request.headers, **envelope.headers(token, user_agent, stream=request.stream)},
            envelope.wrap(request.body, model=canonical_model(request.model), project=project, user_agent=user_agent),
            None if isinstance(request.timeout, httpx.Timeout) else request.timeout,
            last_try=last_try,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, who served it, and what had been asked."""

    reply: Json
    lease: Lease
    request: GeminiRequest


class StreamedAnswer:
    """A stream and who serves it. Iterate it to the end or close it."""

    def __init__(
        self, dispatcher: Dispatcher, stream: ReplyStream, lease: Lease, request: GeminiRequest | None = None
    ) -> None:
        self.lease = lease
        self._request = request
        self._dispatcher = dispatcher
        self._stream = stream

    def __iter__(self) -> Iterator[Json]:
        try:
            yield from self._stream
            if not self.lease.probes:  # else reported with the first content
                self._dispatcher.pool.report(self.lease, SERVED)
        except RequestRefusedError as error:
            self._dispatcher.pool.report(self.lease, error.refusal)
            if (again := _once_more(self._request, self._stream, error.refusal)) is not None:
                self._stream.close()
                more = self._dispatcher.stream(again)
                self.lease, self._stream = more.lease, more._stream
                yield from more
                return
            raise RequestRefusedError(error.refusal, account=self.lease.account.label) from None
        finally:
            self.close()

    def close(self) -> None:
        """Release the connection."""
        self._stream.close()


class AsyncStreamedAnswer:
    """What `StreamedAnswer` is, on an event loop."""

    def __init__(
        self, dispatcher: Dispatcher, stream: AsyncReplyStream, lease: Lease, request: GeminiRequest | None = None
    ) -> None:
        self.lease = lease
        self._request = request
        self._dispatcher = dispatcher
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[Json]:
        try:
            async for reply in self._stream:
                yield reply
            if not self.lease.probes:
                await self._dispatcher.pool.areport(self.lease, SERVED)
        except RequestRefusedError as error:
            await self._dispatcher.pool.areport(self.lease, error.refusal)
            if (again := _once_more(self._request, self._stream, error.refusal)) is not None:
                await self._stream.aclose()
                more = await (await self._dispatcher.in_a_thread(lambda: self._dispatcher.begin_stream(again)))
                self.lease, self._stream = more.lease, more._stream
                async for reply in more:
                    yield reply
                return
            raise RequestRefusedError(error.refusal, account=self.lease.account.label) from None
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Release the connection."""
        await self._stream.aclose()


def _once_more(
    request: GeminiRequest | None, stream: ReplyStream | AsyncReplyStream, refusal: Refusal
) -> GeminiRequest | None:
    """Return the request to go on with when a reply has failed of which the caller has no more than thoughts."""
    if request is None or request.reply_failed or not stream.watch.may_be_repeated(refusal):
        return None
    return replace(request, reply_failed=True)


def _to_be_recorded(refusal: Refusal, step: NextStep) -> Refusal:
    """Return what is recorded of a refusal: a request that a second account refuses, too, is at fault itself."""
    if refusal.kind is RefusalKind.REFUSED_REQUEST and isinstance(step, GiveUp):
        return replace(refusal, kind=RefusalKind.CALLER)
    return refusal


def _no_token(error: CredentialError, lease: Lease, *, rejected: bool) -> Refusal:
    """Return the refusal that stands for a token that could not be had; ``rejected`` when upstream refused the last."""
    kind = RefusalKind.AUTH if rejected else RefusalKind.TRANSPORT
    if isinstance(error, GrantRevokedError):
        kind = RefusalKind.REVOKED
    status = 503 if kind is RefusalKind.TRANSPORT else 401
    return Refusal(kind=kind, status=status, message=str(error), retry_after=error.retry_after, model=lease.model)


def _final(
    error: NoAccountLeftError | AllAccountsLimitedError, refused: RequestRefusedError | None
) -> AntigravityError:
    """Return what the caller is told when no account is left.

    What upstream said last says more than that everybody has been asked. A refused request is no limit of the
    account, so its cooldown of seconds must not be reported as one.
    """
    if refused is None:
        return error
    if refused.refusal.kind is RefusalKind.AUTH and isinstance(error, AllAccountsLimitedError):
        return refused if len(error.accounts) == 1 else error
    if isinstance(error, AllAccountsLimitedError) and refused.refusal.kind is not RefusalKind.REFUSED_REQUEST:
        return error
    return refused
