"""One request from start to end: account, token, project, call; on a refusal, what comes next.

`_steps` is the whole of the flow, written once as a generator that does no waiting of its own: it yields what is to
be sent or how long to pause, and is told what came of it. The sync and the async door drive it.
"""

from __future__ import annotations

import asyncio
import functools
import math
import random
from collections.abc import Callable, Coroutine, Generator
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import SecretStr

from litellm_antigravity import events
from litellm_antigravity.accounts import Account, AccountSource, StaticToken
from litellm_antigravity.aftermath import aftermath
from litellm_antigravity.attempts import final, no_token, to_be_recorded
from litellm_antigravity.clock import Clock, SystemClock
from litellm_antigravity.credentials.project import Projects
from litellm_antigravity.credentials.shared import SharedTokens
from litellm_antigravity.deadlines import time_limit
from litellm_antigravity.errors import (
    AllAccountsLimitedError,
    CredentialError,
    GrantRevokedError,
    NoAccountLeftError,
    RequestRefusedError,
    StateBusyError,
)
from litellm_antigravity.models import canonical_model
from litellm_antigravity.pool import SERVED, AccountPool, Lease, Wait
from litellm_antigravity.refusals import Failover, GiveUp, Refusal, RetrySameAccount, timeout_refusal
from litellm_antigravity.reports import Reports
from litellm_antigravity.request import (
    DEFAULT_TIMEOUT_SECONDS,
    Answer,
    AsyncStreamedAnswer,
    GeminiRequest,
    StreamedAnswer,
)
from litellm_antigravity.retries import Retries
from litellm_antigravity.selection.patience import FirstBytes, turn_seconds
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.steps import Flow, MayBlock, Pause, Send, Step, Steps, let_go
from litellm_antigravity.telling import tell_sent, tell_usage
from litellm_antigravity.threads import PREPARING, QUICK, TOKENS, Threads
from litellm_antigravity.time_budget import Budget
from litellm_antigravity.wire import cloudcode
from litellm_antigravity.wire.exchange import Call, Exchange
from litellm_antigravity.wire.http import HttpClients
from litellm_antigravity.wire.limits import Limits
from litellm_antigravity.wire.streams import AsyncReplyStream, Json, ReplyStream

_Reply = TypeVar("_Reply", bound="Json | ReplyStream | AsyncReplyStream")
_Prepared = TypeVar("_Prepared")


class Dispatcher:
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
        store: Ledger | None = None,
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
        self._exchange = Exchange(self.clients, self.clock, int(self.settings.max_reply_megabytes * 1e6))
        self._jitter = jitter
        self._first_bytes = FirstBytes()
        self._threads = Threads()

    async def in_a_thread(self, prepare: Callable[[], _Prepared]) -> _Prepared:
        """Return what a function returns that may take seconds before there is a request to serve."""
        return await self._threads.run(PREPARING, prepare)

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
        tell_usage(lease, reply.get("usageMetadata"))
        return Answer(reply, lease, request)

    def stream(self, request: GeminiRequest) -> StreamedAnswer:
        """Serve a request and return its stream, read up to the first content."""
        stream, lease = self._drive(request, self._exchange.open)
        again = None if request.reply_failed else lambda: self.stream(replace(request, reply_failed=True))
        return StreamedAnswer(self._reports_for(request), request.seconds, stream, lease, again)

    def begin(self, request: GeminiRequest) -> Coroutine[Any, Any, Answer]:
        """Choose an account here and now, blocking; return the coroutine that does the rest.

        Call it in a thread: what it does before it returns may touch the disk.
        """
        driven = self._adrive(request, self._exchange.asend)

        async def answer() -> Answer:
            reply, lease = await driven
            tell_usage(lease, reply.get("usageMetadata"))
            return Answer(reply, lease, request)

        return answer()

    def begin_stream(self, request: GeminiRequest) -> Coroutine[Any, Any, AsyncStreamedAnswer]:
        """Do what `begin` does for a stream; the coroutine ends when the first content is there."""
        driven = self._adrive(request, self._exchange.aopen)

        async def again() -> AsyncStreamedAnswer:
            last = replace(request, reply_failed=True)
            return await (await self.in_a_thread(lambda: self.begin_stream(last)))

        async def answer() -> AsyncStreamedAnswer:
            stream, lease = await driven
            again_once = None if request.reply_failed else again
            return AsyncStreamedAnswer(self._reports_for(request), request.seconds, stream, lease, again_once)

        return answer()

    def _reports_for(self, request: GeminiRequest) -> Reports:
        return Reports(request.pool or self.pool, self._threads)

    # Driving the steps

    def _drive(self, request: GeminiRequest, send: Callable[[Call, Limits], _Reply | Refusal]) -> tuple[_Reply, Lease]:
        flow = self._flow(request)
        steps = self._steps(flow)
        with let_go(steps):
            step = self._next(steps, flow.budget)
            while True:
                outcome: Refusal | None = None
                if isinstance(step, Pause):
                    self.clock.sleep(step.seconds)
                elif isinstance(step, Send):
                    began = self.clock.monotonic()
                    answer = send(step.call, step.limits)
                    if not isinstance(answer, Refusal):
                        self._note(step, began)
                        if flow.retries.must_give:
                            flow.reports.write(flow.retries.give, flow.budget.left)
                        if not isinstance(answer, ReplyStream):
                            flow.reports.report(step.lease, SERVED, flow.budget.left)
                        elif step.lease.probes:  # a stream is served at its end, but what it probes is known already
                            flow.reports.report(step.lease.still_in_flight(), SERVED, flow.budget.left)
                        else:
                            bind = functools.partial(flow.pool.binder.answered, step.lease)
                            flow.reports.write(bind, flow.budget.left)
                        flow.is_served = True
                        return answer, step.lease
                    outcome = answer
                step = self._next(steps, flow.budget, outcome)

    def _adrive(
        self, request: GeminiRequest, send: Callable[[Call, Limits], Coroutine[Any, Any, _Reply | Refusal]]
    ) -> Coroutine[Any, Any, tuple[_Reply, Lease]]:
        flow = self._flow(request)
        steps = self._steps(flow)
        first = self._next(steps, flow.budget)

        async def rest() -> tuple[_Reply, Lease]:
            step = first
            with let_go(steps):
                while True:
                    outcome: Refusal | None = None
                    if isinstance(step, Pause):
                        await asyncio.sleep(step.seconds)
                    elif isinstance(step, Send):
                        began = self.clock.monotonic()
                        answer = await send(step.call, step.limits)
                        if not isinstance(answer, Refusal):
                            self._note(step, began)
                            await self._begun(step, answer)
                            flow.is_served = True
                            return answer, step.lease
                        outcome = answer
                    purpose = TOKENS if isinstance(step, MayBlock) else QUICK
                    step = await self._threads.run(purpose, functools.partial(self._next, steps, flow.budget, outcome))

        return rest()

    def _next(self, steps: Steps, budget: Budget, outcome: Refusal | None = None) -> Step:
        """Return the next step; what it needs of the shared state is waited for no longer than the request may take."""
        try:
            with time_limit(budget.left):
                return steps.send(outcome)
        except StateBusyError as error:
            raise RequestRefusedError(timeout_refusal(str(error))) from error

    async def _begun(self, step: Send, answer: object) -> None:
        """Report a reply; a stream is served when it has ended, but what it probes is known already."""
        flow = step.flow
        try:
            if flow.retries.must_give:
                await self._threads.run(QUICK, lambda: flow.reports.write(flow.retries.give, flow.budget.left))
            if not isinstance(answer, AsyncReplyStream):
                await flow.reports.areport(step.lease, SERVED, flow.budget.left)
            elif step.lease.probes:
                await flow.reports.areport(step.lease.still_in_flight(), SERVED, flow.budget.left)
            elif flow.pool.binder.changes_anything(step.lease):
                bind = functools.partial(flow.pool.binder.answered, step.lease)
                await self._threads.run(QUICK, lambda: flow.reports.write(bind, flow.budget.left))
        except BaseException:  # cancelled: nobody will read the stream
            if isinstance(answer, AsyncReplyStream):
                await answer.aclose()
            raise

    def _note(self, step: Send, began: float) -> None:
        """Remember what this process has seen: how long the first content took, and that the account answers."""
        now = self.clock.monotonic()
        self._first_bytes.note(step.flow.kind, now - began, now)
        step.flow.pool.recorder.answered(step.lease)

    def _flow(self, request: GeminiRequest) -> Flow:
        self.clients.prepare()
        budget, reports = Budget(request.timeout, self.clock.monotonic), self._reports_for(request)
        failover = Failover(
            switch_on_first_rate_limit=self.settings.switch_on_first_rate_limit,
            sticky_wait=reports.pool.patience(request.conversation),
            random=self._jitter,
            reply_failed=request.reply_failed,
        )
        return Flow(request, reports, failover, budget, Retries(reports.pool.store, self.clock), request.kind)

    def _steps(self, flow: Flow) -> Steps:
        """Yield what to do; end only by raising, since the driver stops asking once it has a reply."""
        refused: RequestRefusedError | None = None
        while True:
            try:
                taken = flow.pool.try_acquire(flow.asked)
            except (NoAccountLeftError, AllAccountsLimitedError) as error:
                raise final(error, refused) from None
            if isinstance(taken, Wait):
                yield Pause(taken.seconds)
                flow.turn = taken.turn
                if taken.turn is None:  # see `Wait.after`
                    flow.waited += taken.seconds
                    flow.failover.has_waited()
                continue
            flow.turn = None
            try:
                latest = yield from self._on_account(taken, flow)
            finally:
                if not flow.is_served:
                    taken.end()
            if latest is None:
                continue
            # What benched its account is told by the pool; of the rest the last one is told.
            if refused is None or not latest.refusal.is_limit or refused.refusal.is_limit:
                refused = latest

    def _on_account(self, lease: Lease, flow: Flow) -> Generator[Step, Refusal | None, RequestRefusedError | None]:
        """Try one account until it is somebody else's turn; return its last refusal, ``None`` if it was not asked.

        Raises:
            RequestRefusedError: when no other account is to be tried.
        """
        request, failover, budget = flow.request, flow.failover, flow.budget
        token: SecretStr | None = None
        rejected: SecretStr | None = None
        outcome: Refusal | None = None
        while True:
            if budget.left <= 0:
                raise RequestRefusedError(timeout_refusal("the request's time was up"), account=lease.account.label)
            left, given = budget.left, budget.for_credentials
            try:
                token = yield from self._token(lease, rejected, budget)
                project = yield from self._project(lease, token, budget)
            except RequestRefusedError as error:
                outcome = error.refusal
                flow.pool.recorder.tell(lease, outcome)
            except CredentialError as error:
                if not error.retryable and not isinstance(error, GrantRevokedError) and self._all_are_like(lease):
                    raise  # what is wrong is wrong for every account
                # Only a static token that was rejected is certain to be useless; another one is worth a second try.
                useless = rejected is not None and isinstance(lease.account.credential, StaticToken)
                outcome = no_token(error, lease, rejected=useless, late=left - budget.left >= 0.9 * given)
                flow.pool.recorder.tell(lease, outcome)
            else:
                if outcome is None and flow.has_fallen_out(lease, self.clock.time()):
                    flow.pool.recorder.give_back(lease)
                    return None
                turn = self._turn(lease, flow)
                lease = flow.pool.recorder.half_open(lease, turn)
                call = self._call(request, token, project, last_try=failover.reply_failed)
                tell_sent(lease)
                answer = yield Send(lease, call, budget.for_attempt(turn), flow)
                if answer is None:  # pragma: no cover - the driver ends with a reply or goes on with a refusal
                    raise AssertionError
                outcome = answer
                flow.pool.recorder.tell(lease, outcome)
                if request.mended is not None and (body := request.mended(outcome)) is not None:
                    request = replace(request, body=body, mended=None)
                    continue
            step, spent = flow.after(outcome, lease)
            if isinstance(step, RetrySameAccount) and step.delay < budget.left:
                rejected = token if step.refresh_token else None
                if step.delay > 0:
                    yield Pause(step.delay)
                continue
            flow.reports.record(lease, to_be_recorded(outcome, step, spent=spent), budget.left)
            means = aftermath(request.pool or (None if request.account_id else self.pool), lease, outcome)
            refused = RequestRefusedError(outcome, account=lease.account.label, retries_spent=spent, afterwards=means)
            if isinstance(step, (GiveUp, RetrySameAccount)) or budget.left <= 0:
                raise refused
            if events.wanted():
                events.emit(events.Switched(about=lease.about, kind=outcome.kind.value))
            return refused

    def _turn(self, lease: Lease, flow: Flow) -> float:
        """Return how many seconds the account has until its first byte; ``math.inf`` when nobody would take over."""
        if math.isinf(flow.budget.left) or not lease.others or not flow.retries.are_affordable:
            return math.inf
        return turn_seconds(
            left=flow.budget.left,
            others=lease.others,
            stream=flow.request.stream,
            slowest=self._first_bytes.slowest(flow.kind, self.clock.monotonic()),
            left_before=flow.failover.silences,
        )

    def _token(
        self, lease: Lease, rejected: SecretStr | None, budget: Budget
    ) -> Generator[Step, Refusal | None, SecretStr]:
        token = self._tokens.ready(lease.account) if rejected is None else None
        if token is None:
            yield MayBlock()
            token = self._tokens.token(lease.account, rejected=rejected, timeout=budget.for_credentials)
        return token

    def _project(self, lease: Lease, token: SecretStr, budget: Budget) -> Generator[Step, Refusal | None, str]:
        project = self._projects.ready(lease.account)
        if project is None:
            yield MayBlock()
            project = self._projects.project(lease.account, token, timeout=budget.for_credentials)
        return project

    def _all_are_like(self, lease: Lease) -> bool:
        """Return whether every account has the same kind of credential, and the same OAuth client."""
        kind, client = lease.account.credential.kind, lease.account.oauth_client
        enabled = self.pool.accounts.current().enabled
        return all(one.credential.kind == kind and one.oauth_client == client for one in enabled)

    def _call(self, request: GeminiRequest, token: SecretStr, project: str, *, last_try: bool) -> Call:
        user_agent = self.settings.user_agent
        path = cloudcode.STREAM if request.stream else cloudcode.GENERATE
        return Call(
            self.settings.endpoint + path,
            {**request.headers, **cloudcode.headers(token, user_agent, stream=request.stream)},
            cloudcode.wrap(request.body, model=canonical_model(request.model), project=project, user_agent=user_agent),
            last_try,
        )


__all__ = [
    "DEFAULT_TIMEOUT_SECONDS",
    "Answer",
    "AsyncStreamedAnswer",
    "Dispatcher",
    "GeminiRequest",
    "StreamedAnswer",
]
