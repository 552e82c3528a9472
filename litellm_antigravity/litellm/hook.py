"""The hook: what the proxy and the Router call before, during and after a request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from litellm_antigravity.errors import AllAccountsLimitedError, AntigravityError
from litellm_antigravity.litellm import under_way
from litellm_antigravity.litellm.errors import as_litellm, bad_request, check_choice, told_wait, written_as_plugins
from litellm_antigravity.litellm.handler import AntigravityLLM
from litellm_antigravity.litellm.other_providers import first_report, give_up, refusal_of
from litellm_antigravity.litellm.routing import affinity
from litellm_antigravity.litellm.routing.group import Group
from litellm_antigravity.litellm.routing.member import Member
from litellm_antigravity.litellm.seams import cooldown_metrics, filters
from litellm_antigravity.litellm.seams.requests import Deployment, drop_exclusions, info_of, params_of, served_by
from litellm_antigravity.litellm.seams.router import background, deployments_for, tagged
from litellm_antigravity.litellm.timeouts import NAMES, check_timeouts
from litellm_antigravity.litellm.told_headers import headers_in
from litellm_antigravity.models import PROVIDER, canonical_model, family_of, plugins_name
from litellm_antigravity.pool import SERVED, Lease, Outcome
from litellm_antigravity.refusals import RefusalKind

# LiteLLM serves ``/v1/responses`` and ``/v1/messages`` by a chat completion for most providers, and calls the hook for
# both; this is the deployment of the outer one.
_outer_call: ContextVar[str | None] = ContextVar("litellm_antigravity_outer_call", default=None)

_NOTED = "litellm_antigravity_noted"


class AntigravityHook(CustomLogger):  # type: ignore[misc]  # LiteLLM's types are not followed, see pyproject.toml
    """Routes pinned deployments, notes how their requests end, and names the account in the proxy's answers.

    Does nothing for deployments that name no account in ``model_info``.

    Args:
        handler: the provider, which has the dispatcher and the groups.
    """

    def __init__(self, handler: AntigravityLLM) -> None:
        super().__init__()
        self._handler = handler

    # Selection

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[Any],
        messages: list[Any] | None = None,
        request_kwargs: dict[str, Any] | None = None,
        parent_otel_span: object = None,
    ) -> list[Any]:
        """Narrow a pinned group to the deployments of the account whose turn it is; see `CustomLogger`.

        It is chosen among the free accounts that LiteLLM's other filters keep, whichever order they are in.

        Raises:
            litellm.RateLimitError: when every account of the group is limited.
        """
        if healthy_deployments and not any(Member.of(deployment) is not None for deployment in healthy_deployments):
            return healthy_deployments
        # LiteLLM looks at tags later than here, which would leave nothing of the one deployment.
        fit = await tagged(model, healthy_deployments, request_kwargs)
        kept = {id(one) for one in fit}
        unfit = [one for one in healthy_deployments if id(one) not in kept]
        filters.put_first(self)
        beside = filters.beside(self, healthy_deployments)
        key = self._conversation(request_kwargs, messages, healthy_deployments, beside)

        async def kept_of(of: Sequence[Deployment]) -> Sequence[Deployment]:
            return await filters.kept_by(
                beside, model, of, messages, request_kwargs, parent_otel_span, is_bound=key is not None
            )

        routing, waited, again = self._handler.routing, 0.0, len(fit)
        while True:
            free: Sequence[Deployment] = fit if beside else ()
            if beside and (again < len(fit) or routing.may_be_limited(request_kwargs)):
                free = await asyncio.to_thread(routing.free, model, fit, request_kwargs)
            deployments = await kept_of(free) if free else fit
            if free and not deployments and len(free) < len(fit):
                free, deployments = (), await kept_of(fit)  # whom they would keep is limited: say until when
            try:
                return list(await asyncio.to_thread(self._narrow, model, deployments, request_kwargs, unfit, key))
            except AllAccountsLimitedError as error:
                if free and again > 0:
                    again -= 1  # the account that they kept has just been limited; they may keep another one
                    continue
                wait = self._wait(error, waited, request_kwargs)
                if wait is None:
                    raise as_litellm(error, model, self._handler.longest_wait) from None
            except AntigravityError as error:
                raise as_litellm(error, model, self._handler.longest_wait) from None
            await asyncio.sleep(wait)
            waited += wait

    def narrow(
        self, model: str, deployments: Sequence[Deployment], request_kwargs: Any, messages: Any = None
    ) -> Sequence[Deployment]:
        """Do what `async_filter_deployments` does, for the synchronous Router."""
        if deployments and not any(Member.of(deployment) is not None for deployment in deployments):
            return deployments
        key = self._conversation(request_kwargs, messages, deployments, filters.beside(self, deployments))
        waited = 0.0
        while True:
            try:
                return list(self._narrow(model, deployments, request_kwargs, key=key))
            except AllAccountsLimitedError as error:
                wait = self._wait(error, waited, request_kwargs)
                if wait is None:
                    raise as_litellm(error, model, self._handler.longest_wait) from None
            except AntigravityError as error:
                raise as_litellm(error, model, self._handler.longest_wait) from None
            time.sleep(wait)
            waited += wait

    def _narrow(
        self,
        model: str,
        deployments: Sequence[Deployment],
        request_kwargs: Any,
        unfit: Sequence[Deployment] = (),
        key: str | None = None,
    ) -> Sequence[Deployment]:
        if deployments:
            return self._handler.routing.narrow(model, deployments, request_kwargs, unfit=unfit, conversation=key)
        error = self._handler.routing.limited_error_of(model)
        if error is not None:
            raise error
        return deployments

    def _conversation(
        self, request_kwargs: Any, messages: Any, deployments: Sequence[Deployment], beside: Sequence[object]
    ) -> affinity.Key | None:
        """Return the key of what is to stay on its account, by our settings or LiteLLM's switches, and remember it."""
        pool = self._handler.routing.pool_of(deployments) if request_kwargs else None
        if pool is None or any(Member.of(one) is None for one in deployments):
            return None  # those without an account know no bindings but LiteLLM's
        group, settings = str(deployments[0].get("model_name")), self._handler.dispatcher.settings
        switches, always = filters.switches_for(beside, group), pool.keeps_conversations
        if not (always or any(switches)):
            return None
        key = affinity.key_of(request_kwargs, messages, group, switches, settings, always=always)
        if key is not None:
            pool.keep_conversations()
            affinity.remember(request_kwargs, key)
        return key

    def note_own_limit(self, deployment: Deployment, error: Any) -> None:
        """Note that a pinned deployment has reached a limit that the model list gives it; see `seams.filters`.

        LiteLLM's check has the Router not retry, whoever else is free; it may, while another account of the group is.

        Args:
            deployment: as the Router has it.
            error: LiteLLM's; changed.
        """
        found = self._handler.routing.member_of(info_of(deployment))
        if found is None:
            return
        group, member = found
        routing = self._handler.routing
        routing.note_full(member.deployment_id)
        if routing.has_room(group, member.model):
            error.num_retries = None

    def _wait(self, error: AllAccountsLimitedError, waited: float, request_kwargs: Any) -> float | None:
        """Return how long to wait for an account, or ``None``; a mere question (without a request) never waits."""
        budget = self._handler.dispatcher.settings.max_rate_limit_wait_seconds - waited
        if error.retry_after is None or not request_kwargs or error.retry_after > budget:
            return None
        return error.retry_after + 0.01

    # Requests to other providers. Ours are counted and reported by the provider itself.

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: object) -> dict[str, Any] | None:
        """Count a request to a pinned deployment of another provider as sent, and sign it if its account can.

        LiteLLM calls this for asynchronous requests only: a synchronous one to another provider is not signed and needs
        a key of its own in ``litellm_params``.
        """
        check_choice(kwargs)
        found = self._foreign(info_of(kwargs))
        if found is None:
            return None
        group, member = found
        is_chat = str(getattr(call_type, "value", call_type)) == "acompletion"
        if is_chat and _outer_call.get() == member.deployment_id:
            _outer_call.set(None)  # counted already
        else:
            _outer_call.set(None if is_chat else member.deployment_id)
            take, key = self._handler.routing.take, affinity.remembered(kwargs)
            lease = await asyncio.to_thread(take, group, member, _model(member, kwargs), key)
            if lease is None:
                return None
            under_way.begin(under_way.details_of(kwargs), lease, member.deployment_id)
        return await asyncio.to_thread(self._handler.sign, kwargs, member)

    def log_pre_api_call(self, model: str, messages: object, kwargs: dict[str, Any]) -> None:  # noqa: ARG002
        """Count a synchronous request as sent: LiteLLM calls no other hook for it."""
        found = self._foreign(served_by(kwargs))
        if found is not None and not _is_async(kwargs):
            lease = self._handler.routing.take(*found, _model(found[1], kwargs), affinity.remembered(kwargs))
            if lease is not None:
                under_way.begin(kwargs, lease, found[1].deployment_id)

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:  # noqa: ARG002
        """Note that a request to another provider was answered."""
        found = self._foreign(served_by(kwargs))
        if found is not None:
            await asyncio.to_thread(self._report, found, kwargs, SERVED)

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:  # noqa: ARG002
        """Note the same for a synchronous request."""
        found = self._foreign(served_by(kwargs))
        if found is not None and not _is_async(kwargs):
            self._report(found, kwargs, SERVED)

    async def async_post_call_failure_deployment_hook(
        self,
        request_data: Mapping[str, Any],
        exception: Exception,
        call_type: object = None,  # noqa: ARG002 - LiteLLM's signature
        fallback_depth: int | None = None,  # noqa: ARG002
    ) -> None:
        """Note that an attempt at another provider failed; newer LiteLLM calls this for every attempt."""
        info = info_of(request_data)
        found = self._foreign(info)
        if found is not None:
            await asyncio.to_thread(self._failed, found, request_data, exception)
        await self._tell_metrics(info, request_data, exception)

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:  # noqa: ARG002
        """Note that a request to another provider failed."""
        info = served_by(kwargs)
        found = self._foreign(info)
        if found is not None:
            await asyncio.to_thread(self._failed, found, kwargs, kwargs.get("exception"))
        await self._tell_metrics(info, kwargs, kwargs.get("exception"))

    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:  # noqa: ARG002
        """Note the same for a synchronous request."""
        info = served_by(kwargs)
        found = self._foreign(info)
        if found is not None and not _is_async(kwargs):
            self._failed(found, kwargs, kwargs.get("exception"))
        if not _is_async(kwargs):
            background.run(self._tell_metrics(info, kwargs, kwargs.get("exception")))

    async def note_unopened_stream(self, kwargs: dict[str, Any], error: Exception) -> None:
        """Note that a stream of another provider could not be opened; see `seams.functions`.

        Args:
            kwargs: what LiteLLM knows of the call, as its events have it.
            error: why.
        """
        found = self._foreign(served_by(kwargs))
        if found is not None:
            await asyncio.to_thread(self._failed, found, kwargs, error)
            kwargs[_NOTED] = True  # an event that comes all the same has another exception

    async def _tell_metrics(self, info: object, kwargs: Mapping[str, Any], error: object) -> None:
        """Tell LiteLLM's metrics of a cooldown of ours, once, where LiteLLM keeps none for the deployment."""
        routing = self._handler.routing
        found = routing.member_of(info)
        if found is None or not isinstance(error, Exception):
            return
        new = await asyncio.to_thread(routing.new_cooldown, *found, _model(found[1], kwargs))
        router = None if new is None else cooldown_metrics.counts_for(new.deployment_id)
        if new is not None and router is not None:
            status = getattr(error, "status_code", None) or 500
            await cooldown_metrics.cooled_down(router, new.deployment_id, status, new.seconds)

    def _failed(self, found: tuple[Group, Member], kwargs: Mapping[str, Any], error: object) -> None:
        under_way.end(kwargs, found[1].deployment_id, served=False)
        refusal = refusal_of(error, found[1].provider)
        if refusal is None or kwargs.get(_NOTED):
            return
        if first_report(error):
            self._report(found, kwargs, refusal)
        if refusal.kind is RefusalKind.BANNED:
            error.num_retries = 0  # type: ignore[attr-defined]  # LiteLLM's exceptions have it; the Router obeys it
        routing = self._handler.routing
        if refusal.status == 429:
            self._give_up(error, routing.limited_error_after(_pinned_by(found[1])))

    def _give_up(self, error: object, limited: AllAccountsLimitedError | None) -> None:
        if limited is not None:
            give_up(error, limited, told_wait(limited.retry_after, self._handler.longest_wait))

    def _report(self, found: tuple[Group, Member], kwargs: Mapping[str, Any], outcome: Outcome) -> None:
        group, member = found
        under_way.end(kwargs, member.deployment_id, served=outcome is SERVED)
        account = group.current().by_id.get(group.account_id(member.deployment_id) or "")
        if account is not None:
            model = _model(member, kwargs)
            key = affinity.remembered(kwargs)
            lease = Lease(account, canonical_model(model), family_of(model), time.time(), conversation=key)
            group.pool.report(lease, outcome)

    def _foreign(self, model_info: object) -> tuple[Group, Member] | None:
        found = self._handler.routing.member_of(model_info)
        return None if found is None or found[1].provider == PROVIDER else found

    # The proxy

    async def async_pre_call_hook(
        self,
        user_api_key_dict: object,  # noqa: ARG002 - LiteLLM's signature
        cache: object,  # noqa: ARG002
        data: dict[str, Any],
        call_type: str,
    ) -> None:
        """Turn away what LiteLLM would fail on (500): Gemini's native routes, and time-outs that are none.

        And say how a model is named here to those who name it as OpenCode's plugin does.
        """
        drop_exclusions(data)
        model = data.get("model")
        meant = plugins_name(model) if isinstance(model, str) else None
        if meant is not None and not deployments_for(str(model)):
            known = [one for one in (meant.removeprefix(f"{PROVIDER}/"), meant) if self._handler.serves(one)]
            if known:
                raise written_as_plugins(str(model), known[0], "/v1/models")
        is_native = "generate_content" in str(call_type)
        if not is_native and not any(name in data for name in NAMES):
            return
        if not self._handler.serves(model):
            return
        if is_native:
            what = f"{model} is not offered on Gemini's native routes"
            msg = f"{what}; use /v1/chat/completions, /v1/messages or /v1/responses"
            raise bad_request(msg, str(model))
        check_timeouts(data, str(model))

    async def async_post_call_failure_hook(
        self,
        request_data: Mapping[str, Any],
        original_exception: Exception,
        user_api_key_dict: object,  # noqa: ARG002 - LiteLLM's signature
        traceback_str: str | None = None,  # noqa: ARG002
    ) -> None:
        """Say who is limited, and until when, where a group of another provider's deployments has nobody left.

        Newer LiteLLM shows `async_post_call_failure_deployment_hook` a copy of the error, on which that is lost, and
        the proxy tells of the first of a request's failures only in its other events.
        """
        model = request_data.get("model")
        is_ours = getattr(original_exception, "llm_provider", None) == PROVIDER
        if isinstance(model, str) and not is_ours and getattr(original_exception, "status_code", None) == 429:
            limited = await asyncio.to_thread(self._handler.routing.limited_error_of, model)
            self._give_up(original_exception, limited)

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: object,  # noqa: ARG002 - LiteLLM's signature
        response: object,
        request_headers: dict[str, str] | None = None,  # noqa: ARG002
    ) -> dict[str, str] | None:
        """Name the account that served a request, masked, and say why it was that one."""
        return headers_in(response) or headers_in(data.get("litellm_logging_obj")) or None


def _pinned_by(member: Member) -> Mapping[str, str]:
    return {"id": member.deployment_id}


def _is_async(kwargs: Mapping[str, Any]) -> bool:
    """Return whether a call came by one of LiteLLM's asynchronous functions, which are named so."""
    params = params_of(kwargs)
    return str(kwargs.get("call_type") or "").startswith("a") or any(
        params.get(name) is True or kwargs.get(name) is True for name in ("acompletion", "aembedding")
    )


def _model(member: Member, kwargs: Mapping[str, Any]) -> str:
    if "*" not in member.model:
        return member.model
    return str(kwargs.get("model") or member.model).removeprefix(f"{member.provider}/")
