"""Conversations through a proxy with four workers: each has one account, whichever worker its turns come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest
from proxy import Proxy, needs_proxy
from talking import accounts_each, began_on, pool_config, started_proxy, talks

from litellm_antigravity.simulator import Simulator

pytestmark = [*needs_proxy, pytest.mark.once]

CONVERSATIONS, TURNS = 8, 5


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, Proxy]]:
    with Simulator(4) as simulator:
        config = pool_config(account_selection_strategy="sticky")
        with closing(started_proxy(simulator, tmp_path_factory.mktemp("proxy"), config)) as proxy:
            yield simulator, proxy


def test_a_conversation_has_one_account_through_all_workers_and_moves_once_when_that_is_spent(
    served: tuple[Simulator, Proxy],
) -> None:
    """Before, all of them were on one account with sticky, and each on three with hybrid."""
    simulator, proxy = served
    found = talks(proxy, "model", conversations=CONVERSATIONS, turns=TURNS)
    assert [one.failed for one in found] == [[]] * CONVERSATIONS
    assert accounts_each(found) == 1.0
    assert sorted(began_on(found).values()) == [2] * 4
    assert Counter(said for one in found for said in one.decisions) == {
        "new": CONVERSATIONS,
        "hit": CONVERSATIONS * (TURNS - 1),
    }

    spent: list[str] = []

    def drain() -> None:
        spent.append(simulator.requests(kind="served")[-1].email or "")
        simulator.drain(spent[0], None, 600)

    found = talks(proxy, "model", conversations=CONVERSATIONS, turns=2 * TURNS, naming="LiteLLM's header", midway=drain)
    assert [one.failed for one in found] == [[]] * CONVERSATIONS
    assert {one.moves for one in found if spent[0] in one.served_by} <= {0, 1}  # 0: had had its last turn there
    assert {one.moves for one in found if spent[0] not in one.served_by} <= {0}
    assert sum(one.moves for one in found) >= 1
