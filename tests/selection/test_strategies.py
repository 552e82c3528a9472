"""What every strategy keeps to, whatever it chooses by."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import SecretStr
from support import NOW

from litellm_antigravity import Settings
from litellm_antigravity.accounts import Account, AccountsSnapshot, StaticToken, static_accounts
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.identity import ProcessIdentity
from litellm_antigravity.pool import LeaseRequest
from litellm_antigravity.selection.availability import Availability
from litellm_antigravity.selection.named import Named
from litellm_antigravity.selection.starts import Starts
from litellm_antigravity.selection.strategies import STRATEGIES, strategy_named
from litellm_antigravity.selection.strategy import Chosen, Hold, Strategy
from litellm_antigravity.settings.model import Strategy as StrategySetting
from litellm_antigravity.state.memory import MemoryStore

pytestmark = pytest.mark.once

MODEL = "claude-sonnet-4-6"
COUNT = 5


class World:
    """A strategy of each kind, five accounts, and what is known of them."""

    def __init__(self, name: str, **settings: Any) -> None:
        fields = {"account_selection_strategy": name, "sticky_wait_seconds": 0.0, **settings}
        self.store = MemoryStore()
        starts = Starts(Settings(**fields), self.store, ProcessIdentity.read)
        self.strategy = strategy_named(name)(Settings(**fields), starts)
        made = [Account.create(f"user{number}@example.com", StaticToken(SecretStr("x"))) for number in range(COUNT)]
        self.snapshot: AccountsSnapshot = static_accounts(*made).current()
        self.ids = [account.id for account in self.snapshot.accounts]

    def choose(self, *tried: str, strategy: Strategy | None = None, **asked: Any) -> Chosen | Hold | None:
        view = self.store.refresh()
        available = Availability.of(MODEL, self.snapshot, view, NOW)
        return (strategy or self.strategy).choose(LeaseRequest(MODEL, tried, **asked), view, available, NOW)

    def chosen(self, *tried: str) -> str:
        choice = self.choose(*tried)
        assert isinstance(choice, Chosen)
        return choice.account_id

    def bench(self, *account_ids: str, seconds: float = 60.0) -> None:
        for account_id in account_ids:
            self.store.extend_cooldown(Cooldown(account_id, "claude", NOW + seconds, "quota", NOW, fact=True))


every_strategy = pytest.mark.parametrize("name", STRATEGIES)


def test_the_strategies_are_those_of_the_setting_each_under_its_own_name() -> None:
    assert get_args(StrategySetting) == STRATEGIES
    assert [strategy_named(name).name for name in STRATEGIES] == [*STRATEGIES]
    assert all(strategy_named(name).summary for name in STRATEGIES)


@every_strategy
def test_a_choice_changes_nothing_until_it_is_taken(name: str) -> None:
    world = World(name)
    assert {world.chosen() for _ in range(COUNT)} == {world.chosen()}


@every_strategy
def test_what_is_taken_decides_the_next_choice(name: str) -> None:
    world = World(name)
    taken = []
    for _ in range(COUNT):
        taken.append(world.chosen())
        world.strategy.taken(taken[-1], "claude")
    assert len(set(taken)) == (COUNT if name == "round-robin" else 1)  # nothing was sent: to hybrid all are equal


@every_strategy
def test_nobody_is_chosen_who_has_been_tried_or_is_limited(name: str) -> None:
    world = World(name)
    world.strategy.taken(world.ids[0], "claude")
    world.bench(world.ids[0], world.ids[1])
    found: list[str] = []
    for _ in range(COUNT - 2):
        found.append(world.chosen(*found))
    assert {*found} == {*world.ids[2:]}
    assert world.choose(*found) is None


@every_strategy
def test_a_named_account_is_the_only_one_and_the_pools_own_strategy_goes_on_from_it(name: str) -> None:
    world = World(name)
    named = Named(world.strategy)
    wanted = world.ids[3]
    assert world.choose(strategy=named, account_id=wanted) == Chosen(wanted, why="named")
    named.taken(wanted, "claude")
    assert world.chosen() == (world.ids[1] if name == "round-robin" else wanted)
    assert world.choose(wanted, strategy=named, account_id=wanted) is None
    assert world.choose(strategy=named, account_id="somebody else") is None
    world.bench(wanted)
    assert world.choose(strategy=named, account_id=wanted) is None


def test_sticky_waits_for_its_own_account_alone_and_no_longer_than_it_may() -> None:
    world = World("sticky", sticky_wait_seconds=20.0)
    current = world.chosen()
    world.strategy.taken(current, "claude")
    world.bench(current, seconds=10.0)
    hold = world.choose()
    assert isinstance(hold, Hold)
    assert hold.seconds == pytest.approx(10.01)
    assert hold.at_most == 20.0
    assert isinstance(world.choose(waited=9.0), Hold)
    for choice in (world.choose(waited=10.0), world.choose(patience=10.0)):
        assert isinstance(choice, Chosen)
        assert choice.account_id != current
    assert isinstance(world.choose(current), Chosen)


def test_hybrid_passes_over_accounts_whose_last_token_went_to_another_process() -> None:
    world = World("hybrid")
    first = world.chosen()
    choice = world.choose(overdrawn=frozenset({first}))
    assert choice == Chosen(world.ids[1], takes_token=True, why="best score")
    last = world.choose(*world.ids[1:], overdrawn=frozenset({first}))
    assert last == Chosen(first, why="nobody has a score")  # the last one always serves
