"""Our errors as LiteLLM's: what callers, the Router and the proxy know how to handle."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from typing import Any, Final, cast

import httpx
import litellm

from litellm_antigravity.errors import (
    AllAccountsLimitedError,
    AntigravityError,
    PoolStoppedError,
    RequestRefusedError,
    SettingsError,
    UnsupportedLiteLLMError,
)
from litellm_antigravity.litellm.seams.proxy import rate_limit_error
from litellm_antigravity.litellm.seams.requests import chose_by_id, group_of
from litellm_antigravity.masking import shown
from litellm_antigravity.models import BUILT_IN_MODELS, PROVIDER, canonical_model, plugins_name, problem_with_name
from litellm_antigravity.refusals import Fault, Refusal, RefusalKind, Then
from litellm_antigravity.refusals.words import clean

ACCOUNT_HEADER: Final = "x-litellm-antigravity-account"
"""Among LiteLLM's additional headers of a response: the masked account that served it."""

_LONGEST_MODEL: Final = 256  # characters of a name
_MARK: Final = "_litellm_antigravity_says_it_all"

_REQUEST: Final = httpx.Request("POST", f"https://{PROVIDER}.invalid/")  # LiteLLM's errors insist on having one


def as_litellm(error: AntigravityError, model: str, longest_wait: float | None = None) -> Exception:
    """Return the LiteLLM exception for one of ours, to be raised from it.

    A rate limit carries ``Retry-After`` in ``response.headers`` and in ``headers`` (from where the proxy copies it),
    and ``num_retries = 0``: the Router would otherwise sleep and ask again, though every account has been asked. So
    does every error when the host's retry budget is spent.

    Args:
        error: ours.
        model: that was asked for.
        longest_wait: seconds that ``Retry-After`` says at most; the message says the true time. ``None`` for no cap.
    """
    _forget_contexts(error)
    if isinstance(error, PoolStoppedError):
        return _make("PermissionDeniedError", 403, str(error), model, num_retries=0)
    if isinstance(error, AllAccountsLimitedError):
        if error.forbidden:  # no 401, for which clients ask people to sign in, and LiteLLM benches the deployment
            return _make("PermissionDeniedError", 403, str(error), model, num_retries=0)
        if error.retry_after is None:
            return _make("AuthenticationError", 401, str(error), model)
        return _rate_limit(str(error), told_wait(error.retry_after, longest_wait), model)
    if isinstance(error, RequestRefusedError):
        raised = _refused(error, model, longest_wait)
        if error.retries_spent:  # a retry of the Router's would come to us as a request of its own
            raised.num_retries = 0  # type: ignore[attr-defined]  # LiteLLM's exceptions have it
        return raised
    if isinstance(error, (SettingsError, UnsupportedLiteLLMError)):
        return _make("InternalServerError", 500, str(error), model)
    # No accounts file, no OAuth client, no token: LiteLLM says 401 where credentials are missing.
    return _make("AuthenticationError", 401, str(error), model)


def bad_request(message: str, model: str) -> Exception:
    """Return the error for a request that cannot be sent as it is.

    Args:
        message: why; it may quote the request, which is cleaned like what upstream says.
        model: that was asked for.
    """
    return _make("BadRequestError", 400, clean(message), model)


def check_choice(kwargs: Mapping[str, Any]) -> None:
    """Turn away a caller who chooses an account by the id of its deployment; see `chose_by_id`.

    Args:
        kwargs: of a call to a deployment that names an account.

    Raises:
        litellm.BadRequestError: unless its caller may.
    """
    if chose_by_id(kwargs):
        group = group_of({"litellm_params": kwargs})
        msg = "only administrators of the proxy choose an account; ask for its group"
        raise bad_request(f"{msg}, {group}" if group else msg, group)


def check_name(model: str) -> None:
    """Turn away a name that no model can have, before it becomes a key of anything.

    Args:
        model: as the caller gave it.

    Raises:
        litellm.BadRequestError: when it is too long, empty, or not printable.
        litellm.NotFoundError: when it is written as OpenCode's plugin writes it.
    """
    problem = problem_with_name(model)
    if problem is not None:
        name = shown(model, _LONGEST_MODEL)
        raise _make("BadRequestError", 400, f"The model's name {problem}: {PROVIDER}/{name}", name)
    meant = plugins_name(model)
    if meant is not None:
        raise written_as_plugins(model, meant)


def written_as_plugins(model: str, meant: str, listed_by: str = "litellm-antigravity models") -> Exception:
    """Return the error for a model's name as OpenCode's plugin writes it; see `plugins_name`.

    Args:
        model: that was asked for.
        meant: how it is written here.
        listed_by: what lists the models for whoever asked.
    """
    message = f"There is no model {model}: {prefix_is_plugins(meant)} (`{listed_by}` lists all.)"
    return _make("NotFoundError", 404, message, model)


def prefix_is_plugins(meant: str) -> str:
    """Return what is wrong with a name of the plugin's, and how it is written here."""
    return f"the prefix {PROVIDER}- is how opencode-antigravity-auth writes it. Write {meant} here."


def not_offered(what: str, model: str) -> Exception:
    """Return the error for a kind of call that upstream has no answer to.

    Args:
        what: the kind of call, in the plural or as a noun.
        model: that it was asked of.
    """
    model = shown(model, _LONGEST_MODEL)
    message = (
        f"{what} on {PROVIDER}/{model}: not offered by this provider. It offers chat: completion, text_completion and "
        f"responses, streamed or not, with these models: {', '.join(BUILT_IN_MODELS)}."
    )
    return _make("BadRequestError", 400, message, model)


def told_wait(retry_after: float | None, longest_wait: float | None) -> float | None:
    """Return the seconds that a caller is told to wait: what is known, and no more than the user wants to be told."""
    return retry_after if retry_after is None or longest_wait is None else min(retry_after, longest_wait)


def _refused(error: RequestRefusedError, model: str, longest_wait: float | None) -> Exception:
    refusal, wait = error.refusal, told_wait(error.refusal.retry_after, longest_wait)
    message = refusal.message if error.account is None else f"{refusal.message} (account {error.account})"
    if error.retries_spent:
        message += " Not tried again: too much of what this host asked has failed lately."
    meaning = refusal.kind.meaning
    if meaning.error == "RateLimitError":
        return _rate_limit(message, wait, model)
    if meaning.fault is Fault.REQUEST:
        return _callers(refusal, message, model)
    if meaning.fault is Fault.UPSTREAM:
        return _make(meaning.error, meaning.status, message, model, retry_after=wait)
    if meaning.fault is Fault.MODEL:  # it was asked twice already
        return _make(meaning.error, meaning.status, message, model, num_retries=0)
    if meaning.fault is Fault.TRANSIT and refusal.status == 408:
        return _make("Timeout", 408, message, model)
    if meaning.page and refusal.url:
        # Not the address itself: whoever opens it acts for the account, and callers are not its owners.
        message += " Its owner finds the address to open in `litellm-antigravity status`."
    if meaning.then is Then.TELL_CALLER:  # the Router would go on with another account, and a ban is no reason to
        means = "" if error.afterwards is None else f" {error.afterwards}"
        return _make(meaning.error, meaning.status, message + means, model, num_retries=0)
    if refusal.kind is RefusalKind.NOT_AVAILABLE:
        if refusal.status == 403:
            return _make("PermissionDeniedError", 403, message, model)
        message += f" {_known_models(model)}"
    return _make(meaning.error, meaning.status, message, model)


def _known_models(model: str) -> str:
    meant = difflib.get_close_matches(canonical_model(model), BUILT_IN_MODELS, n=1, cutoff=0.75)
    hint = f"Did you mean {meant[0]}? " if meant and meant[0] != canonical_model(model) else ""
    return (
        f"{hint}Known models: {', '.join(BUILT_IN_MODELS)}; "
        "`litellm-antigravity models` asks upstream which there are now."
    )


def _forget_contexts(error: BaseException) -> None:
    """Forget the errors in whose place ours were raised (``from None``): httpx's may quote what was sent or came."""
    known: BaseException | None = error
    while known is not None:
        if known.__suppress_context__:
            known.__context__ = None
        known = known.__cause__ or known.__context__


# What upstream's models say of a request that does not fit: Gemini, Gemini's front end, Claude (two), GPT-OSS.
_TOO_LONG: Final = re.compile(
    r"exceeds the maximum number of tokens"
    r"|request payload size exceeds"
    r"|prompt is too long"
    r"|exceed context limit"
    r"|maximum context length|context window|context_length_exceeded",
    re.IGNORECASE,
)
# The texts that LiteLLM takes for a content filter where it talks to the same models (Gemini, Claude on Vertex).
_FILTERED: Final = re.compile(r"the response was blocked|output blocked by content filtering policy", re.IGNORECASE)


def _callers(refusal: Refusal, message: str, model: str) -> Exception:
    if _TOO_LONG.search(refusal.message):
        return _make("ContextWindowExceededError", 400, message, model)
    if _FILTERED.search(refusal.message):
        return _make("ContentPolicyViolationError", 400, message, model)
    if refusal.status == 422:
        return _make("UnprocessableEntityError", 422, message, model)
    return _make("BadRequestError", 400, message, model)


def _rate_limit(message: str, retry_after: float | None, model: str) -> Exception:
    return _make("RateLimitError", 429, message, model, retry_after=retry_after, num_retries=0)


def _make(
    name: str, status: int, message: str, model: str, *, retry_after: float | None = None, **more: object
) -> Exception:
    """Return an exception of LiteLLM's, by its name there."""
    kind: Any = rate_limit_error() if name == "RateLimitError" else getattr(litellm, name)
    headers = {} if retry_after is None else {"retry-after": str(max(1, math.ceil(retry_after)))}
    message, model = shown(message), shown(model, _LONGEST_MODEL)
    if name == "Timeout":  # the only one that cannot be given a response
        error = kind(message=message, model=model, llm_provider=PROVIDER, **more)
    else:
        response = httpx.Response(status, headers=headers, request=_REQUEST)
        error = kind(message=message, model=model, llm_provider=PROVIDER, response=response, **more)
    # Some of LiteLLM's exceptions replace or drop what they were given.
    error.response = httpx.Response(status, headers=headers, request=_REQUEST)
    error.headers = headers
    return ours(cast("Exception", error))


def ours(error: Exception) -> Exception:
    """Mark an error whose message says all there is to say, and return it; see `is_ours`."""
    setattr(error, _MARK, True)
    return error


def is_ours(error: object) -> bool:
    """Return whether an exception is one of ours, or LiteLLM's around one."""
    for _ in range(5):
        if getattr(error, _MARK, False):
            return True
        error = getattr(error, "original_exception", None)
    return False
