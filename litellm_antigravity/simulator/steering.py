"""What tests, scripts and people do to a simulated Google while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from litellm_antigravity.clock import Clock
from litellm_antigravity.models import FAMILIES, ModelFamily
from litellm_antigravity.simulator.accounts import SimulatedAccount
from litellm_antigravity.simulator.faults import FaultKind, Target, new_fault
from litellm_antigravity.simulator.quotas import FIVE_HOURS
from litellm_antigravity.simulator.replies import Script
from litellm_antigravity.simulator.scripts.actions import check_accounts, perform
from litellm_antigravity.simulator.scripts.director import Director
from litellm_antigravity.simulator.scripts.document import Action
from litellm_antigravity.simulator.scripts.document import Script as ScriptDocument
from litellm_antigravity.simulator.upstream import Upstream


class Steering:
    """The half of a `Simulator` that changes what it does. All methods may be called from any thread.

    Args:
        upstream: what is steered.
        clock: for what a script has happen by time.
    """

    def __init__(self, upstream: Upstream, clock: Clock) -> None:
        self._upstream = upstream
        self._clock = clock
        self._director: Director | None = None
        self._on_note: Callable[[str], object] | None = None

    def account(self, email: str) -> SimulatedAccount:
        """Return one account.

        Raises:
            ValueError: when there is none of this name.
        """
        return self._upstream.logins.account(email)

    def drain(self, email: str, family: ModelFamily | None, reset_seconds: float = 600.0) -> None:
        """Let an account have no quota in a family (``None``: in both) for ``reset_seconds``.

        Until then its requests are refused with the remaining time (docs/upstream.md, "Error bodies").
        """
        self.account(email)
        self._upstream.quotas.drain(email, family, reset_seconds)

    def set_quota(
        self, email: str, family: ModelFamily, requests: int | None, window_seconds: float = FIVE_HOURS
    ) -> None:
        """Give an account a fresh quota in a family: ``requests`` per ``window_seconds``; ``None`` for no limit."""
        self.account(email)
        self._upstream.quotas.set(email, family, requests, window_seconds)

    def refuse(
        self,
        kind: FaultKind,
        *,
        email: str | None = None,
        model: str | None = None,
        family: ModelFamily | None = None,
        times: int | None = None,
        target: Target = "generate",
        **options: Any,
    ) -> None:
        """Refuse the next requests that fit. Several refusals queue up: the oldest that fits is taken.

        Only requests that are in order otherwise are refused, so a wrong envelope is still a 400.

        Args:
            kind: of refusal; docs/simulator.md has them all. By the classes of refusals: ``quota``, ``rate``,
                ``refused-request`` (the bare 429), ``capacity``, ``server-error``, ``unauthorized`` (although the token
                is valid), ``verification``, ``banned``, ``banned-old-text``, ``not-available``, ``bad-request``. Broken
                replies: ``html`` (with status 200), ``html-error``, ``empty-candidates``, and for streams only
                ``truncated-stream`` and ``mid-stream-error``. Failed replies: ``malformed-function-call``,
                ``unexpected-tool-call``, ``empty-stop``, ``thoughts-only``, ``version-unsupported``, ``error-as-text``.
                For streams, what is right but rare: ``partial-args`` (calls in pieces), ``no-finish-reason``. No reply:
                ``hang`` (until the client goes), ``drop`` (the connection).
            email: of the account; ``None`` for all.
            model: ``None`` for all.
            family: ``None`` for both.
            times: how many requests; ``None`` for all until `heal`.
            target: which requests: ``generate``, ``token``, ``project``, ``models``, ``consent`` or ``userinfo``.
            options: ``after_words`` and ``after_thoughts`` (malformed-function-call, unexpected-tool-call);
                ``complete`` (partial-args: False for a call without its end); ``message`` (error-as-text);
                ``reset_seconds`` (quota; ``None`` for no hint); ``retry_seconds`` (rate, capacity; ``None`` for
                no hint); ``status`` (capacity, server-error, not-available, html-error, mid-stream-error); ``message``
                (bad-request); ``after_chunks`` (truncated-stream, mid-stream-error, and hang for streams; never the
                last chunk); ``abrupt`` (truncated-stream: the connection is dropped); ``headers`` (all with a body
                of their own).

        Raises:
            ValueError: when there is no such kind, option, account or family.
        """
        self._upstream.add_fault(
            new_fault(kind, target=target, email=email, model=model, family=family, times=times, options=options)
        )

    def heal(self) -> None:
        """Clear refusals, drained pools and revocations. Quotas, latencies and scripted replies stay."""
        self._upstream.heal()

    def revoke(self, email: str) -> None:
        """End a login: the token endpoint answers ``invalid_grant``, and its access tokens are refused."""
        self._upstream.logins.revoke(email)

    def sign_in(self, email: str) -> str:
        """Sign in again: return a new refresh token, which `accounts` has from now on."""
        return self._upstream.logins.sign_in(email)

    def expire_tokens(self, email: str | None = None) -> None:
        """Let the access tokens issued so far be refused with a 401, of one account or of all."""
        self._upstream.logins.expire_tokens(email)

    def set_latency(self, seconds: float, *, per_chunk: float = 0.0, refused: float = 0.0) -> None:
        """Set how long things take, in seconds.

        Args:
            seconds: until a served request is answered, or its stream begins.
            per_chunk: between the chunks of a stream.
            refused: until a refusal comes.
        """
        latency = self._upstream.latency
        latency.served, latency.per_chunk, latency.refused = seconds, per_chunk, refused

    def set_token_latency(self, seconds: float) -> None:
        """Set how long the token endpoint takes, in seconds."""
        self._upstream.latency.token = seconds

    @property
    def rotate_refresh_tokens(self) -> bool:
        """Whether each refresh returns a new refresh token."""
        return self._upstream.logins.rotate_refresh_tokens

    @rotate_refresh_tokens.setter
    def rotate_refresh_tokens(self, value: bool) -> None:
        self._upstream.logins.rotate_refresh_tokens = value

    @property
    def keep_old_refresh_tokens(self) -> bool:
        """Whether refresh tokens stay valid when they are rotated; true unless set."""
        return self._upstream.logins.keep_old_refresh_tokens

    @keep_old_refresh_tokens.setter
    def keep_old_refresh_tokens(self, value: bool) -> None:
        self._upstream.logins.keep_old_refresh_tokens = value

    def reply_with(self, script: Script | None) -> None:
        """Script what the model says.

        Args:
            script: a text; a list of Gemini parts; a `ModelReply` for finish reason and usage; or a function from
                `Served` to one of them. ``None`` for the default: it calls a tool when the last message says
                ``call <tool name> {...}``, and else says ``Served by <email> with <model>.``.
        """
        self._upstream.script, self._upstream.before_reply, self._director = script, None, None

    def play(self, script: ScriptDocument | None, *, on_note: Callable[[str], object] | None = None) -> None:
        """Play a script from its beginning, in place of what was played or scripted before.

        What an earlier one has done stays, until `heal`.

        Args:
            script: see `scripts.reading`; ``None`` for the default replies.
            on_note: called with each note of this script and of later ones, from the server's thread.

        Raises:
            ValueError: when the script names an account that there is not.
        """
        self._on_note = on_note or self._on_note
        if script is None:
            self.reply_with(None)
            return
        check_accounts(script.actions(), self._upstream.logins.accounts())
        director = Director(
            script,
            clock=self._clock,
            perform=lambda action, serving: perform(action, self._upstream, serving),
            on_note=self._on_note,
        )
        self._upstream.script, self._upstream.before_reply, self._director = director.reply, director.before, director

    @property
    def director(self) -> Director | None:
        """The run of the script that is played, if one is."""
        return self._director

    @property
    def refusals(self) -> list[dict[str, Any]]:
        """The refusals that wait for their requests, oldest first."""
        return [
            {"kind": one.kind, "account": one.email, "model": one.model, "family": one.family, "times": one.left}
            for one in self._upstream.faults()
        ]

    def quota_left(self) -> dict[str, dict[ModelFamily, float]]:
        """Return the part of its quota that each account has left, from 0 to 1, by e-mail and family."""
        quotas, now = self._upstream.quotas, self._clock.time()
        return {
            account.email: {family: quotas.left(account.email, family, now)[0] for family in FAMILIES}
            for account in self._upstream.logins.accounts()
        }

    def perform(self, *actions: Action) -> None:
        """Do what a script could have happen: all of it, or nothing.

        Raises:
            ValueError: when an action names an account that there is not.
        """
        check_accounts(actions, self._upstream.logins.accounts(), serving=False)
        for action in actions:
            perform(action, self._upstream)


__all__ = ["Steering"]
