"""How the rows of the shared state are written and read: plain JSON text that any process can check.

A row that does not have exactly the shape it should have is treated as absent: state is shared by processes of
several versions, and somebody else may have written to the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from litellm_antigravity.cooldowns import MAX_COOLDOWN_SECONDS, Capacity, Cooldown
from litellm_antigravity.masking import shown
from litellm_antigravity.redaction import SECRETS
from litellm_antigravity.selection.binding import Binding
from litellm_antigravity.selection.retry_budget import MAX_TOKENS, RetryBudget
from litellm_antigravity.selection.vitals import Failures, Vitals


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A cached access token. The only row that holds a secret; its ``repr`` does not show it."""

    token: str = field(repr=False)
    expires_at: float | None
    credential: str
    generation: int


@dataclass(frozen=True, slots=True)
class Presence:
    """A process that uses the pool: who it is, and which account it is on in each family."""

    owner: str
    pid: int
    strategy: str
    seen_at: float
    slot: int | None = None
    current: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Probe:
    """That a long cooldown is being probed, or was: when (epoch seconds), and whether the prober has its answer."""

    at: float
    done: bool


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that people are told of once: what it is, and who tells it.

    Attributes:
        event: one of `settings.alert_names.ALERTS`.
        since: when it began, in epoch seconds.
        until: when it ends by itself; ``None`` where nobody knows.
        begun: when somebody first meant to tell it.
        at: when somebody last tried to.
        owner: the host that does.
        done: whether it is told, or given up.
    """

    event: str
    since: float
    until: float | None
    begun: float
    at: float
    owner: str
    done: bool = False


def cooldown_name(account_id: str, pool: str) -> str:
    """Return what a cooldown's row is called; a slash in the account's id (e-mails may have one) is escaped."""
    return f"{account_id.replace('%', '%25').replace('/', '%2F')}/{pool}"


def split_cooldown_name(name: str) -> tuple[str, str]:
    """Return account id and pool of what a cooldown's row is called."""
    account_id, _, pool = name.partition("/")
    return account_id.replace("%2F", "/").replace("%25", "%"), pool


def encode(fields: Mapping[str, object]) -> str:
    """Return a row's text: ASCII, because what upstream says may hold half a surrogate pair, which SQLite refuses."""
    return _ENCODER.encode(fields)


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)  # `json.dumps` would make one for each row


def decode(text: object) -> dict[str, Any] | None:
    """Return a row's fields, or ``None`` for anything that is not a JSON object of plain values."""
    if not isinstance(text, str):
        return None
    try:
        fields = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def number_in(fields: Mapping[str, object] | None, name: str) -> float | None:
    """Return a row's field if it is a finite number."""
    return None if fields is None else _number(fields.get(name))


_SHORT, _LONG = 100, 2000  # characters


def _text(value: object, limit: int = _LONG) -> str | None:
    return value if isinstance(value, str) and len(value) <= limit else None


def encode_cooldown(cooldown: Cooldown) -> str:
    """Return the text of a cooldown's row; an open end is ``null``, and texts keep to what `decode_cooldown` takes.

    An address that is too long or holds a secret is left out: half an address is none.
    """
    fields: dict[str, object] = {
        "until": None if math.isinf(cooldown.until) else cooldown.until,
        "reason": shown(cooldown.reason, _SHORT),
        "since": cooldown.since,
        "fact": cooldown.fact,
    }
    if cooldown.credential is not None:
        fields["credential"] = cooldown.credential
    if cooldown.url is not None and len(cooldown.url) <= _LONG and not SECRETS.holds(cooldown.url):
        fields["url"] = cooldown.url
    if cooldown.message is not None:
        fields["message"] = shown(cooldown.message, _LONG)
    return encode(fields)


def decode_cooldown(account_id: str, pool: str, text: object) -> Cooldown | None:
    """Return the cooldown in a row, clamped to what a cooldown can be; ``None`` for a malformed row."""
    fields = decode(text)
    if fields is None:
        return None
    since, reason = _number(fields.get("since")), _text(fields.get("reason"), _SHORT)
    until = math.inf if fields.get("until", 0) is None else _number(fields.get("until"))
    if since is None or until is None or reason is None:
        return None
    if not math.isinf(until):
        until = min(until, since + MAX_COOLDOWN_SECONDS)
    return Cooldown(
        account_id,
        pool,
        until,
        reason,
        since,
        fact=fields.get("fact") is True,
        credential=_text(fields.get("credential"), _SHORT),
        url=_text(fields.get("url")),
        message=_text(fields.get("message")),
    )


def encode_vitals(vitals: Vitals) -> str:
    """Return the text of an account's vitals: a short array, since this row is written for every request."""
    failures = "{}"
    if vitals.failures:
        failures = encode({family: [known.count, known.at] for family, known in vitals.failures.items()})
    last_used = "null" if vitals.last_used is None else repr(vitals.last_used)
    # A finite number's `repr` is its JSON; the encoder takes three times as long.
    numbers = f"{vitals.health!r},{vitals.health_at!r},{vitals.tokens!r},{vitals.tokens_at!r},{last_used}"
    return f'{{"v":[{numbers}],"f":{failures}}}'


def decode_vitals(text: object) -> Vitals | None:
    """Return an account's vitals; ``None`` for a malformed row."""
    fields = decode(text)
    values = fields.get("v") if fields else None
    if fields is None or not isinstance(values, list) or len(values) != 5:
        return None
    last_used = _number(values[4])
    numbers = [_number(value) for value in values[:4]]
    if any(number is None or number < 0 for number in numbers) or (values[4] is not None and last_used is None):
        return None
    health, health_at, tokens, tokens_at = (number or 0.0 for number in numbers)
    failures: dict[str, Failures] = {}
    known = fields.get("f")
    for family, entry in known.items() if isinstance(known, dict) else ():
        if isinstance(entry, list) and len(entry) == 2:
            count, at = _number(entry[0]), _number(entry[1])
            if count is not None and at is not None and count >= 0:
                failures[family] = Failures(int(min(count, 1000)), at)
    return Vitals(min(health, 1000.0), health_at, min(tokens, 1e6), tokens_at, last_used, failures)


def encode_binding(binding: Binding) -> str:
    """Return the text of a conversation's row; what is usual is left out."""
    fields: dict[str, object] = {
        "account": binding.account_id,
        "family": binding.family,
        "at": binding.used_at,
        "for": binding.seconds,
        "n": binding.number,
    }
    if binding.detour is not None:
        fields["detour"] = binding.detour
    if binding.is_placed:
        fields["placed"] = True
    return encode(fields)


def decode_binding(text: object) -> Binding | None:
    """Return the account of a conversation; ``None`` for a malformed row."""
    fields = decode(text) or {}
    account_id, family = _text(fields.get("account")), _text(fields.get("family"), _SHORT)
    used_at, seconds, number = (_number(fields.get(name)) for name in ("at", "for", "n"))
    if not account_id or family is None or used_at is None or seconds is None or number is None or number < 0:
        return None
    detour, is_placed = _text(fields.get("detour")), fields.get("placed") is True
    return Binding(
        account_id, family, used_at, min(max(seconds, 1.0), MAX_COOLDOWN_SECONDS), int(number), detour, is_placed
    )


def encode_capacity(capacity: Capacity) -> str:
    """Return the text of a model's capacity row."""
    return encode({"until": capacity.until, "since": capacity.since})


def decode_capacity(model: str, text: object) -> Capacity | None:
    """Return a model's capacity row; ``None`` for a malformed one."""
    fields = decode(text) or {}
    until, since = _number(fields.get("until")), _number(fields.get("since"))
    if until is None or since is None:
        return None
    return Capacity(model, min(until, since + 600.0), since)


def encode_token(row: TokenRow) -> str:
    """Return the text of a token row."""
    return encode(
        {"token": row.token, "expires_at": row.expires_at, "credential": row.credential, "gen": row.generation}
    )


def decode_token(text: object) -> TokenRow | None:
    """Return a cached token; ``None`` for a malformed row."""
    fields = decode(text) or {}
    token, credential = _text(fields.get("token"), 20_000), _text(fields.get("credential"), 100)
    expires_at = _number(fields.get("expires_at"))
    generation = _number(fields.get("gen"))
    if not token or credential is None or generation is None:
        return None
    if expires_at is None and fields.get("expires_at", 0) is not None:
        return None
    return TokenRow(token, expires_at, credential, int(generation))


def encode_presence(presence: Presence) -> str:
    """Return the text of a process's row."""
    return encode(
        {
            "owner": presence.owner,
            "pid": presence.pid,
            "strategy": presence.strategy,
            "seen_at": presence.seen_at,
            "slot": presence.slot,
            "current": dict(presence.current),
        }
    )


def decode_presence(text: object) -> Presence | None:
    """Return a process's row; ``None`` for a malformed one."""
    fields = decode(text) or {}
    owner, strategy = _text(fields.get("owner"), 500), _text(fields.get("strategy"), 100)
    pid, seen_at, slot = _number(fields.get("pid")), _number(fields.get("seen_at")), _number(fields.get("slot"))
    current = fields.get("current")
    if owner is None or strategy is None or pid is None or seen_at is None or not isinstance(current, dict):
        return None
    named = {str(family): account for family, account in current.items() if isinstance(account, str)}
    return Presence(owner, int(pid), strategy, seen_at, None if slot is None else int(slot), named)


def encode_probe(probe: Probe) -> str:
    """Return the text of a probe's row."""
    return encode({"at": probe.at, "done": probe.done})


def decode_probe(text: object) -> Probe | None:
    """Return a probe's row; ``None`` for a malformed one."""
    fields = decode(text)
    at = number_in(fields, "at")
    return None if fields is None or at is None else Probe(at, fields.get("done") is True)


def encode_incident(incident: Incident) -> str:
    """Return the text of an incident's row."""
    return encode({name: getattr(incident, name) for name in _INCIDENT})


_INCIDENT = ("event", "since", "until", "begun", "at", "owner", "done")


def decode_incident(text: object) -> Incident | None:
    """Return an incident's row; ``None`` for a malformed one."""
    fields = decode(text) or {}
    event, owner = _text(fields.get("event"), _SHORT), _text(fields.get("owner"), _SHORT)
    since, begun, at = (_number(fields.get(name)) for name in ("since", "begun", "at"))
    if event is None or owner is None or since is None or begun is None or at is None:
        return None
    return Incident(event, since, _number(fields.get("until")), begun, at, owner, fields.get("done") is True)


def encode_budget(budget: RetryBudget) -> str:
    """Return the text of the retry budget's row."""
    return encode({"tokens": budget.tokens, "at": budget.at})


def decode_budget(text: object) -> RetryBudget | None:
    """Return the retry budget in a row, within its bounds; ``None`` for a malformed row."""
    fields = decode(text)
    tokens, at = number_in(fields, "tokens"), number_in(fields, "at")
    if tokens is None or at is None:
        return None
    return RetryBudget(min(max(tokens, 0.0), MAX_TOKENS), at)


def decode_next(text: object) -> int:
    """Return the next number of the counter; 0 for a malformed row, as for none."""
    value = (decode(text) or {}).get("next")
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0


def decode_owner(text: object) -> str | None:
    """Return who holds a slot; ``None`` for a malformed row."""
    owner = (decode(text) or {}).get("owner")
    return owner if isinstance(owner, str) else None
