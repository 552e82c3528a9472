"""Named: the account that a deployment names, and no other. Somebody else has chosen."""

from __future__ import annotations

from litellm_antigravity.accounts import Account, AccountsSnapshot
from litellm_antigravity.errors import AccountsFileError, NoAccountLeftError
from litellm_antigravity.lease import LeaseRequest
from litellm_antigravity.models import ModelFamily
from litellm_antigravity.selection.availability import Availability
from litellm_antigravity.selection.strategy import Choice, Chosen, Strategy
from litellm_antigravity.state.view import StateView


class Named(Strategy):
    """Takes the account that the request names.

    Args:
        usual: the pool's own strategy, which goes on from there.
    """

    def __init__(self, usual: Strategy) -> None:
        self._usual = usual
        self.takes_turns = usual.takes_turns

    def choose(self, asked: LeaseRequest, view: StateView, availability: Availability, now: float) -> Choice:  # noqa: ARG002 - the protocol's signature
        """Return that account if it is free and has not been tried; see `Strategy.choose`."""
        named = asked.account_id
        if not named or named in asked.tried or not availability.is_free(named):
            return None
        return Chosen(named, why="named")

    def taken(self, account_id: str, family: ModelFamily) -> None:
        """Have the pool's own strategy remember it."""
        self._usual.taken(account_id, family)


def named_account(asked: LeaseRequest, snapshot: AccountsSnapshot) -> Account:
    """Return the account that a request is for and that it has not tried."""
    account = snapshot.by_id.get(asked.account_id or "")
    if account is None or not account.enabled:
        msg = f"the account that this deployment names is not in {snapshot.path}, or is disabled there"
        raise AccountsFileError(msg)
    if account.id in asked.tried:
        msg = f"{account.label} has been tried for this request, which is for no other account"
        raise NoAccountLeftError(msg)
    return account
