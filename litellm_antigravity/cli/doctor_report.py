"""What the checks of ``doctor`` say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from litellm_antigravity._version import __version__
from litellm_antigravity.settings.effective import EffectiveSetting

State: TypeAlias = Literal["ok", "warning", "failed", "skipped"]
"""``failed`` keeps requests from being served, or something that was asked for from being done."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line.

    Attributes:
        check: what was looked at, in a word or two.
        state: how it is.
        says: what was found.
        remedy: what helps; ``None`` when there is nothing to do.
    """

    check: str
    state: State
    says: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All findings.

    Attributes:
        findings: in the order in which a request meets what they are about.
        settings: every setting with its source; empty when they cannot be read.
    """

    findings: tuple[Finding, ...]
    settings: Sequence[EffectiveSetting]

    @property
    def has_failed(self) -> bool:
        """Whether any check has."""
        return any(one.state == "failed" for one in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "version": __version__,
            "ok": not self.has_failed,
            "checks": [
                {"check": one.check, "state": one.state, "says": one.says, "remedy": one.remedy}
                for one in self.findings
            ],
            "settings": [one._asdict() for one in self.settings],
        }
