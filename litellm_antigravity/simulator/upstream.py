"""Google as a state machine: logins, tokens, quotas, refusals. No I/O; time is passed in, and any thread may call."""

from __future__ import annotations

import hmac
import itertools
import json
import re
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl

from litellm_antigravity.clock import Clock
from litellm_antigravity.models import BUILT_IN_MODELS, FAMILIES, ModelFamily, family_of
from litellm_antigravity.simulator import bodies, failed_replies
from litellm_antigravity.simulator.accounts import SimulatedAccount, new_refresh_token
from litellm_antigravity.simulator.answers import Action, Answer, Stream
from litellm_antigravity.simulator.faults import Fault, Target, carry_out
from litellm_antigravity.simulator.log import TOKEN_PATH, LoggedRequest, RequestLog
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
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(frozen=True, slots=True)
class Incoming:
    """An HTTP request as it arrived.

    Attributes:
        method: in upper case.
        path: decoded, without the query.
        query: its parameters.
        headers: names in lower case.
        body: its bytes.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Decision:
    """What the server is to do; it calls `Upstream.finished` when it is done.

    Attributes:
        action: the answer, if any.
        latency: seconds to wait before it.
        chunk_latency: seconds to wait before each further event of a stream.
        in_flight_for: the account whose request is under way.
    """

    action: Action
    latency: float = 0.0
    chunk_latency: float = 0.0
    in_flight_for: str | None = None


@dataclass(slots=True)
class Latency:
    """Seconds that things take. Refusals come at once unless told otherwise, as upstream's do."""

    served: float = 0.0
    per_chunk: float = 0.0
    refused: float = 0.0
    token: float = 0.0


@dataclass(slots=True)
class _Quota:
    """So many requests per window; a window begins with its first request."""

    requests: int
    window_seconds: float
    used: int = 0
    ends: float = 0.0

    def take(self, now: float) -> float | None:
        """Take one request; return ``None``, or the seconds to the reset when there is none left."""
        if now >= self.ends:
            self.used, self.ends = 0, now + self.window_seconds
        if self.used >= self.requests:
            return self.ends - now
        self.used += 1
        return None


@dataclass(slots=True)
class _Facts:
    """What is known of a request by the time it is logged."""

    email: str | None = None
    model: str | None = None
    stream: bool = False
    body: Any = None
    counts: bool = False  # as a model request in flight
    rule: str | None = None  # that it breaks


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
        self._accounts = {account.email: account for account in accounts}
        self._grants = {account.refresh_token: account.email for account in accounts}
        if not accounts or len(self._accounts) < len(accounts) or len(self._grants) < len(accounts):
            msg = "accounts must be at least one, with distinct e-mails and refresh tokens"
            raise ValueError(msg)
        self._keys = {account.api_key: account.email for account in accounts}
        self._clock = clock
        self._models = frozenset(models)
        self._token_ttl_seconds = token_ttl_seconds
        self._log = log
        self._on_request = on_request
        self._lock = threading.RLock()
        self._tokens: dict[str, tuple[str, float]] = {}
        self._quotas: dict[tuple[str, ModelFamily], _Quota] = {}
        self._drained: dict[tuple[str, ModelFamily], float] = {}
        self._faults: list[Fault] = []
        self._in_flight: Counter[str] = Counter()
        self._numbers = itertools.count(1)
        self._given = GivenSignatures()
        self._without_rules = known_rules(without_rules)
        self.client_id = f"sim-client-{secrets.token_hex(8)}"
        self.client_secret = f"sim-secret-{secrets.token_urlsafe(18)}"
        self.latency = Latency()
        self.script: Script | None = None
        self.rotate_refresh_tokens = False
        self.keep_old_refresh_tokens = True
        if quota is not None:
            for email, family in itertools.product(self._accounts, FAMILIES):
                self._quotas[email, family] = _Quota(quota, quota_window_seconds)

    # Control

    def accounts(self) -> list[SimulatedAccount]:
        """Return the accounts, with the refresh tokens they have now."""
        with self._lock:
            return list(self._accounts.values())

    def account(self, email: str) -> SimulatedAccount:
        """Return one account.

        Raises:
            ValueError: when there is none of this name.
        """
        with self._lock:
            if email not in self._accounts:
                msg = f"no such account: {email!r}; there are {', '.join(self._accounts)}"
                raise ValueError(msg)
            return self._accounts[email]

    def drain(self, email: str, family: ModelFamily | None, reset_seconds: float) -> None:
        """Let an account have no quota for ``reset_seconds``, in one family or in both."""
        self.account(email)
        with self._lock:
            for one in FAMILIES if family is None else (_checked(family),):
                self._drained[email, one] = self._clock.time() + reset_seconds

    def set_quota(self, email: str, family: ModelFamily, requests: int | None, window_seconds: float) -> None:
        """Give an account a fresh quota, or with ``None`` no limit."""
        self.account(email)
        with self._lock:
            if requests is None:
                self._quotas.pop((email, _checked(family)), None)
            else:
                self._quotas[email, _checked(family)] = _Quota(requests, window_seconds)

    def add_fault(self, fault: Fault) -> None:
        """Queue a refusal; of several that fit a request the oldest is taken."""
        if fault.email is not None:
            self.account(fault.email)
        if fault.family is not None:
            _checked(fault.family)
        with self._lock:
            self._faults.append(fault)

    def heal(self) -> None:
        """Clear refusals, drained pools and revocations. Quotas, latencies and scripts stay."""
        with self._lock:
            self._faults.clear()
            self._drained.clear()
            for account in self._accounts.values():
                self._grants[account.refresh_token] = account.email

    def revoke(self, email: str) -> None:
        """End a login: its refresh tokens and its access tokens are no longer valid."""
        self.account(email)
        with self._lock:
            self._grants = {token: owner for token, owner in self._grants.items() if owner != email}
            self.expire_tokens(email)

    def sign_in(self, email: str) -> str:
        """Sign in again: return a new refresh token, which `accounts` has from now on too."""
        with self._lock:
            account = replace(self.account(email), refresh_token=new_refresh_token())
            self._accounts[email] = account
            self._grants[account.refresh_token] = email
            return account.refresh_token

    def expire_tokens(self, email: str | None) -> None:
        """Let the access tokens that were issued so far be refused, of one account or of all."""
        with self._lock:
            if email is not None:
                self.account(email)
            self._tokens = {
                token: grant for token, grant in self._tokens.items() if email is not None and grant[0] != email
            }

    # Requests

    def receive(self, incoming: Incoming) -> Decision:
        """Decide what to do with a request, and log it."""
        at = self._clock.time()
        facts = _Facts()
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
        if incoming.path == TOKEN_PATH:
            latency = self.latency.token
        else:
            served = action.status == 200
            latency = self.latency.served if served else self.latency.refused
        return Decision(action, latency, self.latency.per_chunk, facts.email if facts.counts else None)

    def finished(self, decision: Decision) -> None:
        """Take note that a request is no longer under way."""
        if decision.in_flight_for is not None:
            with self._lock:
                self._in_flight[decision.in_flight_for] -= 1

    def _decide(self, incoming: Incoming, facts: _Facts, now: float) -> Action:
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

    # The token endpoint (RFC 6749, section 6)

    def _token(self, incoming: Incoming, facts: _Facts, now: float) -> Action:
        if _media_type(incoming) != "application/x-www-form-urlencoded":
            return bodies.oauth_error("invalid_request", "The body must be a form.")
        form = dict(parse_qsl(incoming.body.decode("utf-8", "replace"), keep_blank_values=True))
        facts.body = {name: value for name, value in form.items() if name in _PUBLIC_FORM_FIELDS}
        refresh_token = form.get("refresh_token", "")
        with self._lock:
            facts.email = self._grants.get(refresh_token) or self._former_owner(refresh_token)
        fault = self._next_fault("token", facts.email, None, stream=False)
        if fault is not None:
            return self._carry_out(fault, None, now, stream=False, wrap=dict)
        if form.get("grant_type") != "refresh_token":
            return bodies.oauth_error("unsupported_grant_type", "Only refresh_token is supported.")
        known = _same(form.get("client_id", ""), self.client_id)
        if not (_same(form.get("client_secret", ""), self.client_secret) and known):
            return bodies.oauth_error("invalid_client", "The OAuth client is not known, or its secret is wrong.")
        if not refresh_token:
            return bodies.oauth_error("invalid_request", "Missing parameter: refresh_token.")
        with self._lock:
            email = self._grants.get(refresh_token)
            if email is None:
                return bodies.oauth_error("invalid_grant", "Token has been expired or revoked.")
            return self._grant(email, refresh_token, now)

    def _former_owner(self, refresh_token: str) -> str | None:
        """Return whose refresh token this was before it was revoked, for the log."""
        owners = (account.email for account in self._accounts.values() if account.refresh_token == refresh_token)
        return next(owners, None)

    def _grant(self, email: str, refresh_token: str, now: float) -> Answer:
        token = f"sim-{secrets.token_urlsafe(24)}"
        self._tokens[token] = (email, now + self._token_ttl_seconds)
        fields: dict[str, Any] = {
            "access_token": token,
            "expires_in": int(self._token_ttl_seconds),
            "scope": _SCOPE,
            "token_type": "Bearer",
        }
        if self.rotate_refresh_tokens:
            if not self.keep_old_refresh_tokens:
                del self._grants[refresh_token]
            fields["refresh_token"] = self.sign_in(email)
        return Answer.of_json("token", 200, fields)

    # Cloud Code

    def _project(self, incoming: Incoming, facts: _Facts, now: float) -> Action:
        rejected = self._authenticate(incoming, facts, now) or _rejected_headers(incoming)
        if rejected is not None:
            return rejected
        facts.body = _decoded(incoming.body)
        if not isinstance(facts.body, dict):
            return _invalid("", "The body must be a JSON object.")
        fault = self._next_fault("project", facts.email, None, stream=False)
        if fault is not None:
            return self._carry_out(fault, None, now, stream=False, wrap=dict)
        account = self.account(facts.email or "")
        fields: dict[str, Any] = {"currentTier": {"id": "standard-tier"}}
        if account.project is not None:
            as_object = account.project_form == "object"
            fields["cloudaicompanionProject"] = {"id": account.project} if as_object else account.project
        return Answer.of_json("project", 200, fields)

    def _available_models(self, incoming: Incoming, facts: _Facts, now: float) -> Action:
        rejected = self._authenticate(incoming, facts, now) or _rejected_headers(incoming)
        if rejected is not None:
            return rejected
        facts.body = _decoded(incoming.body)
        if not isinstance(facts.body, dict):
            return _invalid("", "The body must be a JSON object.")
        fault = self._next_fault("models", facts.email, None, stream=False)
        if fault is not None:
            return self._carry_out(fault, None, now, stream=False, wrap=dict)
        email = facts.email or ""
        if facts.body.get("project") != self.account(email).project:
            return Answer.of_json("wrong-project", 403, bodies.not_available(403))
        quotas = {family: self._left(email, family, now) for family in FAMILIES}
        models = {
            name: {
                "displayName": name.replace("-", " ").title(),
                "quotaInfo": bodies.quota_info(*quotas[family_of(name)]),
            }
            for name in sorted(self._models)
        }
        return Answer.of_json("models", 200, {"models": models})

    def _generate(self, incoming: Incoming, facts: _Facts, now: float) -> Action:
        facts.stream = incoming.path == STREAM_PATH
        facts.body = _decoded(incoming.body)
        rejected = self._authenticate(incoming, facts, now) or _rejected_headers(incoming)
        if rejected is not None:
            return rejected
        facts.counts = True
        if isinstance(facts.body, dict) and isinstance(facts.body.get("model"), str):
            facts.model = facts.body["model"]
        try:
            body = check_envelope(facts.body)
        except InvalidRequestError as error:
            return _invalid(error.field, error.message)
        rejected = self._broken_rule(body, facts) or _rejected_alt(incoming, facts)
        if rejected is not None:
            return rejected
        served = Served(facts.email or "", body["model"], body["request"])
        if served.model not in self._models:
            return Answer.of_json("unknown-model", 404, bodies.not_available(404))
        if body["project"] != self.account(served.email).project:
            return Answer.of_json("wrong-project", 403, bodies.not_available(403))
        trace = f"sim-trace-{next(self._numbers):x}"
        return self._serve(served, now, stream=facts.stream, wrap=lambda reply: envelope(reply, trace))

    def _broken_rule(self, body: Mapping[str, Any], facts: _Facts) -> Answer | None:
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

    def _generate_plain(self, incoming: Incoming, facts: _Facts, now: float, *, model: str, stream: bool) -> Action:
        facts.model, facts.stream, facts.counts = model, stream, True
        facts.email = self._keys.get(incoming.headers.get("x-goog-api-key") or incoming.query.get("key", ""))
        if facts.email is None:
            message = "API key not valid. Please pass a valid API key."
            return Answer.of_json("unauthenticated", 400, bodies.invalid_argument(message))
        facts.body = _decoded(incoming.body)
        try:
            request = check_plain_request(facts.body)
        except InvalidRequestError as error:
            return _invalid(error.field, error.message)
        rejected = _rejected_alt(incoming, facts)
        if rejected is not None:
            return rejected
        if model not in self._models:
            return Answer.of_json("unknown-model", 404, bodies.not_available(404))
        return self._serve(Served(facts.email, model, request), now, stream=stream, wrap=dict)

    # What all have in common

    def _authenticate(self, incoming: Incoming, facts: _Facts, now: float) -> Answer | None:
        scheme, _, token = incoming.headers.get("authorization", "").partition(" ")
        with self._lock:
            email, expires = self._tokens.get(token.strip(), (None, 0.0))
            if scheme.lower() == "bearer" and email is not None and now < expires:
                facts.email = email
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
        fault = self._next_fault("generate", served.email, served.model, stream=stream)
        if fault is not None:
            return self._carry_out(fault, served, now, stream=stream, wrap=wrap)
        remaining = self._take(served.email, family_of(served.model), now)
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
        if stream:
            return Stream(kind, tuple(event(wrap(chunk)) for chunk in reply_chunks(served, reply, reply_id)))
        return Answer.of_json(kind, 200, wrap(whole_reply(served, reply, reply_id)))

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

    def _left(self, email: str, family: ModelFamily, now: float) -> tuple[float, float | None]:
        """Return the part of a quota that is left, and when it is full again in epoch seconds; ``None`` when it is."""
        with self._lock:
            until = self._drained.get((email, family), now)
            if until > now:
                return 0.0, until
            quota = self._quotas.get((email, family))
            if quota is None or now >= quota.ends:
                return 1.0, None
            return 1.0 - quota.used / quota.requests, quota.ends

    def _take(self, email: str, family: ModelFamily, now: float) -> float | None:
        """Take one request of a quota; return the seconds to the reset when there is none left."""
        with self._lock:
            until = self._drained.get((email, family), now)
            if until > now:
                return until - now
            quota = self._quotas.get((email, family))
            return None if quota is None else quota.take(now)


def _checked(family: ModelFamily) -> ModelFamily:
    if family not in FAMILIES:
        msg = f"no such family: {family!r}; there are {', '.join(FAMILIES)}"
        raise ValueError(msg)
    return family


def _media_type(incoming: Incoming) -> str:
    return incoming.headers.get("content-type", "").partition(";")[0].strip().lower()


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def _invalid(field: str, message: str) -> Answer:
    return Answer.of_json("invalid-request", 400, bodies.invalid_argument(message, field or None))


def _rejected_headers(incoming: Incoming) -> Answer | None:
    if not incoming.headers.get("user-agent", "").strip():
        return _invalid("", "Missing header: User-Agent.")
    if _media_type(incoming) != "application/json":
        return _invalid("", "The Content-Type must be application/json.")
    return None


def _rejected_alt(incoming: Incoming, facts: _Facts) -> Answer | None:
    if facts.stream and incoming.query.get("alt") != "sse":
        return _invalid("", "A stream must be asked for with alt=sse.")
    return None
