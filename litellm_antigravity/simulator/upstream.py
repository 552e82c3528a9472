"""Google as a state machine: logins, tokens, quotas, refusals. No I/O; time is passed in, and any thread may call."""

from __future__ import annotations

import itertools
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qsl

from litellm_antigravity.clock import Clock
from litellm_antigravity.models import BUILT_IN_MODELS, FAMILIES, family_of
from litellm_antigravity.simulator import bodies, failed_replies
from litellm_antigravity.simulator.accounts import SimulatedAccount
from litellm_antigravity.simulator.answers import Action, Answer, Stream
from litellm_antigravity.simulator.faults import Fault, Target, carry_out
from litellm_antigravity.simulator.incoming import (
    Decision,
    Facts,
    Incoming,
    Latency,
    invalid,
    rejected_alt,
    rejected_headers,
)
from litellm_antigravity.simulator.log import TOKEN_PATH, LoggedRequest, RequestLog
from litellm_antigravity.simulator.logins import Logins
from litellm_antigravity.simulator.prompt_cache import PromptCache
from litellm_antigravity.simulator.quotas import Quotas, checked_family
from litellm_antigravity.simulator.replies import (
    ModelReply,
    Script,
    Served,
    envelope,
    event,
    reply_chunks,
    reply_to,
    whole_reply,
)
from litellm_antigravity.simulator.rules import Asked, first_broken, known_rules
from litellm_antigravity.simulator.signatures import GivenSignatures
from litellm_antigravity.simulator.validation import InvalidRequestError, check_envelope, check_plain_request

GENERATE_PATH: Final = "/v1internal:generateContent"
STREAM_PATH: Final = "/v1internal:streamGenerateContent"
PROJECT_PATH: Final = "/v1internal:loadCodeAssist"
MODELS_PATH: Final = "/v1internal:fetchAvailableModels"

MODELS: Final = tuple(BUILT_IN_MODELS)
"""The models upstream is known to have (UPSTREAM, F2)."""

RULE_HEADER: Final = "x-simulator-rule"
"""Beside a refusal: the name of the rule that the request breaks. Upstream has no such header."""

FIELD_HEADER: Final = "x-simulator-field"
"""Beside it: the path of what breaks the rule."""

_SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "x-goog-api-key", "cookie"})
_PUBLIC_FORM_FIELDS: Final = frozenset({"grant_type", "scope"})
_PLAIN_PATH: Final = re.compile(r"/(?:[^:]*/)?models/([^/:]+):(generateContent|streamGenerateContent)")


class Upstream:
    """The state behind the simulator's paths.

    Args:
        accounts: with distinct e-mails and refresh tokens.
        clock: for windows, resets and expiries.
        quota: model requests per account and family and window; ``None`` for no limit.
        quota_window_seconds: how long a window is.
        token_ttl_seconds: how long an access token is valid.
        models: that exist.
        log: where requests go.
        on_request: called with every request, from the server's thread.
        without_rules: names of rules that do not hold; see `rules`.

    Raises:
        ValueError: when accounts are missing or not distinct, or when there is no such rule.
    """

    def __init__(
        self,
        accounts: Sequence[SimulatedAccount],
        *,
        clock: Clock,
        quota: int | None,
        quota_window_seconds: float,
        token_ttl_seconds: float,
        models: Iterable[str],
        log: RequestLog,
        on_request: Callable[[LoggedRequest], object] | None = None,
        without_rules: Iterable[str] = (),
    ) -> None:
        self.logins = Logins(accounts, token_ttl_seconds)
        self.quotas = Quotas(
            [account.email for account in accounts], clock=clock, requests=quota, window_seconds=quota_window_seconds
        )
        self._clock = clock
        self._models = frozenset(models)
        self._log = log
        self._on_request = on_request
        self._lock = threading.RLock()
        self._faults: list[Fault] = []
        self._in_flight: Counter[str] = Counter()
        self._numbers = itertools.count(1)
        self._given = GivenSignatures()
        self._prompts = PromptCache()
        self._without_rules = known_rules(without_rules)
        self.latency = Latency()
        self.script: Script | None = None
        self.before_reply: Callable[[Served], object] | None = None

    # Control

    def add_fault(self, fault: Fault) -> None:
        """Queue a refusal; of several that fit a request the oldest is taken."""
        if fault.email is not None:
            self.logins.account(fault.email)
        if fault.family is not None:
            checked_family(fault.family)
        with self._lock:
            self._faults.append(fault)

    def faults(self) -> list[Fault]:
        """Return the refusals that wait for their requests, oldest first."""
        with self._lock:
            return list(self._faults)

    def heal(self) -> None:
        """Clear refusals, drained pools and revocations. Quotas, latencies and scripts stay."""
        with self._lock:
            self._faults.clear()
        self.quotas.heal()
        self.logins.heal()

    # Requests

    def receive(self, incoming: Incoming) -> Decision:
        """Decide what to do with a request, and log it."""
        at = self._clock.time()
        facts = Facts()
        action = self._decide(incoming, facts, at)
        with self._lock:
            if facts.counts and facts.email is not None:
                self._in_flight[facts.email] += 1
            entry = LoggedRequest(
                at=at,
                path=incoming.path,
                email=facts.email,
                model=facts.model,
                family=None if facts.model is None else family_of(facts.model),
                status=action.status,
                kind=action.kind,
                stream=facts.stream,
                in_flight=0 if facts.email is None else self._in_flight[facts.email],
                body=facts.body,
                headers={name: value for name, value in incoming.headers.items() if name not in _SECRET_HEADERS},
                rule=facts.rule,
            )
            self._log.add(entry)
        if self._on_request is not None:
            self._on_request(entry)
        in_flight_for = facts.email if facts.counts else None
        if action.pace is not None:
            return Decision(action, action.pace.first, action.pace.per_chunk, in_flight_for)
        if incoming.path == TOKEN_PATH:
            latency = self.latency.token
        else:
            latency = self.latency.served if action.status == 200 else self.latency.refused
        return Decision(action, latency, self.latency.per_chunk, in_flight_for)

    def finished(self, decision: Decision) -> None:
        """Take note that a request is no longer under way."""
        if decision.in_flight_for is not None:
            with self._lock:
                self._in_flight[decision.in_flight_for] -= 1

    def _decide(self, incoming: Incoming, facts: Facts, now: float) -> Action:
        if incoming.method != "POST":
            body = bodies.google_error(405, f"{incoming.method} is not allowed here; POST is.")
            return Answer.of_json("method-not-allowed", 405, body, {"allow": "POST"})
        if incoming.path == TOKEN_PATH:
            return self._token(incoming, facts, now)
        if incoming.path == PROJECT_PATH:
            return self._project(incoming, facts, now)
        if incoming.path == MODELS_PATH:
            return self._available_models(incoming, facts, now)
        if incoming.path in (GENERATE_PATH, STREAM_PATH):
            return self._generate(incoming, facts, now)
        plain = _PLAIN_PATH.fullmatch(incoming.path)
        if plain:
            return self._generate_plain(incoming, facts, now, model=plain[1], stream=plain[2].startswith("stream"))
        return Answer.of_json("no-such-path", 404, bodies.google_error(404, "There is nothing at this path."))

    def _token(self, incoming: Incoming, facts: Facts, now: float) -> Action:
        if incoming.media_type != "application/x-www-form-urlencoded":
            return bodies.oauth_error("invalid_request", "The body must be a form.")
        form = dict(parse_qsl(incoming.body.decode("utf-8", "replace"), keep_blank_values=True))
        facts.body = {name: value for name, value in form.items() if name in _PUBLIC_FORM_FIELDS}
        facts.email = self.logins.owner(form.get("refresh_token", ""))
        fault = self._next_fault("token", facts.email, None, stream=False)
        if fault is not None:
            return self._carry_out(fault, None, now, stream=False, wrap=dict)
        return self.logins.exchange(form, now)

    # Cloud Code

    def _project(self, incoming: Incoming, facts: Facts, now: float) -> Action:
        rejected = self._authenticate(incoming, facts, now) or rejected_headers(incoming)
        if rejected is not None:
            return rejected
        facts.body = incoming.decoded()
        if not isinstance(facts.body, dict):
            return invalid("", "The body must be a JSON object.")
        fault = self._next_fault("project", facts.email, None, stream=False)
        if fault is not None:
            return self._carry_out(fault, None, now, stream=False, wrap=dict)
        account = self.logins.account(facts.email or "")
        fields: dict[str, Any] = {"currentTier": {"id": "standard-tier"}}
        if account.project is not None:
            as_object = account.project_form == "object"
            fields["cloudaicompanionProject"] = {"id": account.project} if as_object else account.project
        return Answer.of_json("project", 200, fields)

    def _available_models(self, incoming: Incoming, facts: Facts, now: float) -> Action:
        rejected = self._authenticate(incoming, facts, now) or rejected_headers(incoming)
        if rejected is not None:
            return rejected
        facts.body = incoming.decoded()
        if not isinstance(facts.body, dict):
            return invalid("", "The body must be a JSON object.")
        fault = self._next_fault("models", facts.email, None, stream=False)
        if fault is not None:
            return self._carry_out(fault, None, now, stream=False, wrap=dict)
        email = facts.email or ""
        if facts.body.get("project") != self.logins.account(email).project:
            return Answer.of_json("wrong-project", 403, bodies.not_available(403))
        quotas = {family: self.quotas.left(email, family, now) for family in FAMILIES}
        models = {
            name: {
                "displayName": name.replace("-", " ").title(),
                "quotaInfo": bodies.quota_info(*quotas[family_of(name)]),
            }
            for name in sorted(self._models)
        }
        return Answer.of_json("models", 200, {"models": models})

    def _generate(self, incoming: Incoming, facts: Facts, now: float) -> Action:
        facts.stream = incoming.path == STREAM_PATH
        facts.body = incoming.decoded()
        rejected = self._authenticate(incoming, facts, now) or rejected_headers(incoming)
        if rejected is not None:
            return rejected
        facts.counts = True
        if isinstance(facts.body, dict) and isinstance(facts.body.get("model"), str):
            facts.model = facts.body["model"]
        try:
            body = check_envelope(facts.body)
        except InvalidRequestError as error:
            return invalid(error.field, error.message)
        rejected = self._broken_rule(body, facts) or rejected_alt(incoming, facts)
        if rejected is not None:
            return rejected
        served = Served(facts.email or "", body["model"], body["request"])
        if served.model not in self._models:
            return Answer.of_json("unknown-model", 404, bodies.not_available(404))
        if body["project"] != self.logins.account(served.email).project:
            return Answer.of_json("wrong-project", 403, bodies.not_available(403))
        trace = f"sim-trace-{next(self._numbers):x}"
        return self._serve(served, now, stream=facts.stream, wrap=lambda reply: envelope(reply, trace))

    def _broken_rule(self, body: Mapping[str, Any], facts: Facts) -> Answer | None:
        asked = Asked(body["model"], body["request"], self._given)
        found = first_broken(asked, without=self._without_rules)
        if found is None:
            return None
        rule, broken = found
        facts.rule = rule.name
        if asked.maker == "claude":
            told = bodies.invalid_request(broken.message, f"req_vrtx_sim{next(self._numbers):x}")
        else:
            told = bodies.google_error(400, broken.message)
        headers = {RULE_HEADER: rule.name, FIELD_HEADER: broken.field}
        return Answer.of_json("invalid-request", 400, told, headers)

    # The Gemini API with keys, for LiteLLM's own provider on the same server

    def _generate_plain(self, incoming: Incoming, facts: Facts, now: float, *, model: str, stream: bool) -> Action:
        facts.model, facts.stream, facts.counts = model, stream, True
        facts.email = self.logins.key_owner(incoming.headers.get("x-goog-api-key") or incoming.query.get("key", ""))
        if facts.email is None:
            message = "API key not valid. Please pass a valid API key."
            return Answer.of_json("unauthenticated", 400, bodies.invalid_argument(message))
        facts.body = incoming.decoded()
        try:
            request = check_plain_request(facts.body)
        except InvalidRequestError as error:
            return invalid(error.field, error.message)
        rejected = rejected_alt(incoming, facts)
        if rejected is not None:
            return rejected
        if model not in self._models:
            return Answer.of_json("unknown-model", 404, bodies.not_available(404))
        return self._serve(Served(facts.email, model, request), now, stream=stream, wrap=dict)

    # What all have in common

    def _authenticate(self, incoming: Incoming, facts: Facts, now: float) -> Answer | None:
        facts.email = self.logins.signed_by(incoming, now)
        if facts.email is not None:
            return None
        return Answer.of_json("unauthenticated", 401, bodies.unauthenticated())

    def _serve(
        self,
        served: Served,
        now: float,
        *,
        stream: bool,
        wrap: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> Action:
        if self.before_reply is not None:
            self.before_reply(served)
        fault = self._next_fault("generate", served.email, served.model, stream=stream)
        if fault is not None:
            return self._carry_out(fault, served, now, stream=stream, wrap=wrap)
        remaining = self.quotas.take(served.email, family_of(served.model), now)
        if remaining is not None:
            return Answer.of_json("quota", 429, bodies.quota(served.model, remaining, now))
        return self._say(served, reply_to(served, self.script), stream=stream, wrap=wrap)

    def _say(
        self,
        served: Served,
        reply: ModelReply,
        *,
        stream: bool,
        wrap: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        kind: str = "served",
    ) -> Action:
        reply_id = f"sim-{next(self._numbers):x}"
        self._given.add(served.model, reply.parts)
        cached = self._prompts.take((served.email, served.model, wrap is dict), served.request, self._clock.time())
        if cached:
            reply = replace(reply, usage={"cachedContentTokenCount": cached, **reply.usage})
        if stream:
            events = tuple(event(wrap(chunk)) for chunk in reply_chunks(served, reply, reply_id))
            return Stream(kind, events, pace=reply.pace)
        return Answer.of_json(kind, 200, wrap(whole_reply(served, reply, reply_id)), pace=reply.pace)

    def _next_fault(self, target: Target, email: str | None, model: str | None, *, stream: bool) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.matches(target, email, model, stream=stream):
                    if fault.left is not None:
                        fault.left -= 1
                        if not fault.left:
                            self._faults.remove(fault)
                    return fault
        return None

    def _carry_out(
        self,
        fault: Fault,
        served: Served | None,
        now: float,
        *,
        stream: bool,
        wrap: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> Action:
        def chunks() -> list[Mapping[str, Any]]:
            if served is None:
                return []
            reply = reply_to(served, self.script)
            return [wrap(chunk) for chunk in reply_chunks(served, reply, f"sim-{next(self._numbers):x}")]

        if served is not None and fault.kind in failed_replies.OPTIONS:
            meant = reply_to(served, self.script)
            failed = failed_replies.failed_reply(fault.kind, fault.options, served.model, meant)
            return self._say(served, failed, stream=stream, wrap=wrap, kind=fault.kind)
        model = "" if served is None else served.model
        return carry_out(fault, model=model, now=now, stream=stream, chunks=chunks, wrap=wrap)
