"""What each kind of refusal means: every one has its row, and no row contradicts itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from litellm_antigravity.refusals import RefusalKind
from litellm_antigravity.refusals.kinds import MEANINGS

pytestmark = pytest.mark.once


# What refusals mean


def test_every_kind_of_refusal_has_its_meaning() -> None:
    assert MEANINGS.keys() == {*RefusalKind}


@pytest.mark.parametrize("kind", RefusalKind)
def test_a_meaning_agrees_with_itself(kind: RefusalKind) -> None:
    meaning: Any = kind.meaning
    checks: dict[str, Callable[[], bool]] = {
        "what cools does so for a time": lambda: bool(meaning.seconds) == (meaning.cools.name != "NOTHING"),
        "no failure of the account's where nothing of it cools": lambda: (
            meaning.penalty is None or meaning.cools.name in ("FAMILY", "CREDENTIAL")
        ),
        "a page to open only where somebody has to act": lambda: not meaning.page or meaning.until_somebody_acts,
        "health says nothing of what is a fact": lambda: not meaning.until_somebody_acts or meaning.penalty is None,
        "an exception of the status's class": lambda: 400 <= meaning.status < 600,
    }
    assert [what for what, holds in checks.items() if not holds()] == []
