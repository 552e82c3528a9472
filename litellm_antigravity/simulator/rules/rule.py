"""What a rule is: a check of a request with upstream's own words for what it refuses, and where they are known from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any, Final, Literal, TypeAlias

from litellm_antigravity.models import canonical_model, family_of
from litellm_antigravity.simulator.signatures import GivenSignatures

Maker: TypeAlias = Literal["claude", "gemini", "gpt-oss"]
"""Whose rules hold for a model. GPT-OSS shares Claude's quota, but not its rules."""

Certainty: TypeAlias = Literal["seen", "documented", "likely"]
"""Users pasted upstream's refusal; the maker's documents say so; or the maker's own service is known to refuse it."""

_VERSION: Final = re.compile(r"(?:claude|gemini)-(?:[a-z]+-)?(\d{1,2})(?!\d)(?:[.-](\d{1,2})(?!\d))?")


def maker_of(model: str) -> Maker:
    """Return whose rules hold for a model."""
    if family_of(model) == "gemini":
        return "gemini"
    return "claude" if "claude" in canonical_model(model) else "gpt-oss"


def version_of(model: str) -> tuple[int, int]:
    """Return a model's version as its name has it; ``(0, 0)`` when it has none."""
    found = _VERSION.match(canonical_model(model))
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a message.

    Attributes:
        path: where it is in the body, such as ``request.contents[1].parts[0]``.
        number: of the part among those of its turn, from 0.
        part: the part itself.
    """

    path: str
    number: int
    part: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """Neighbouring messages of one role, which upstream takes for one.

    Attributes:
        role: ``user`` or ``model``.
        path: where its first message is in the body.
        places: all its parts.
    """

    role: str
    path: str
    places: Sequence[Place]

    def of(self, name: str) -> list[Place]:
        """Return the parts that hold such data, such as ``functionCall``."""
        return [place for place in self.places if name in place.part]


@dataclass(frozen=True)
class Asked:
    """A request as the rules see it; its envelope is in order.

    Attributes:
        model: that it asks for.
        request: the Gemini request.
        given: the signatures that the models gave so far.
    """

    model: str
    request: Mapping[str, Any]
    given: GivenSignatures = field(default_factory=GivenSignatures)

    @cached_property
    def maker(self) -> Maker:
        """Whose rules hold."""
        return maker_of(self.model)

    @property
    def contents(self) -> Sequence[Mapping[str, Any]]:
        """The messages as they were sent."""
        contents: Sequence[Mapping[str, Any]] = self.request["contents"]
        return contents

    @cached_property
    def turns(self) -> list[Turn]:
        """The messages, neighbours of one role joined."""
        turns = []
        for role, group in groupby(enumerate(self.contents), key=lambda numbered: str(numbered[1]["role"])):
            messages = list(group)
            found = [
                (f"request.contents[{index}].parts[{number}]", part)
                for index, content in messages
                for number, part in enumerate(content["parts"])
            ]
            places = [Place(path, number, part) for number, (path, part) in enumerate(found)]
            turns.append(Turn(role, f"request.contents[{messages[0][0]}]", places))
        return turns

    @property
    def config(self) -> Mapping[str, Any]:
        """The generation config; empty when there is none."""
        config: Mapping[str, Any] = self.request.get("generationConfig") or {}
        return config

    @property
    def thinking(self) -> Mapping[str, Any] | None:
        """The thinking config of a request that asks for thoughts; else ``None``."""
        thinking: Mapping[str, Any] = self.config.get("thinkingConfig") or {}
        return thinking if thinking.get("includeThoughts") else None

    @property
    def may_think(self) -> bool:
        """Whether the model is asked to think, or may do so by its name and nothing forbids it."""
        return self.thinking is not None or (
            "thinking" in canonical_model(self.model) and "thinkingConfig" not in self.config
        )

    def declarations(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the declared functions, each after its path."""
        for index, tool in enumerate(self.request.get("tools") or ()):
            for number, declaration in enumerate(tool.get("functionDeclarations") or ()):
                yield f"request.tools[{index}].functionDeclarations[{number}]", declaration


@dataclass(frozen=True, slots=True)
class Broken:
    """What breaks a rule.

    Attributes:
        field: the path of what is wrong.
        message: what upstream says of it.
    """

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that upstream refuses.

    Attributes:
        name: by which it is switched off.
        makers: whose models have it.
        says: what is right, in a sentence.
        sources: public threads (``owner/name#number``) and documents.
        certainty: how sure it is.
        check: returns the first thing that breaks it.
    """

    name: str
    makers: frozenset[Maker]
    says: str
    sources: tuple[str, ...]
    certainty: Certainty
    check: Callable[[Asked], Broken | None]


CLAUDE: Final[frozenset[Maker]] = frozenset({"claude"})
GEMINI: Final[frozenset[Maker]] = frozenset({"gemini"})
ALL: Final[frozenset[Maker]] = frozenset({"claude", "gemini", "gpt-oss"})


def table(rules: Iterable[Rule]) -> str:
    """Return the rules as a table in Markdown, for docs/simulator.md."""
    lines = ["| rule | for | what is right | known from | how sure |", "| --- | --- | --- | --- | --- |"]
    for rule in rules:
        makers = "all" if rule.makers == ALL else ", ".join(sorted(rule.makers))
        lines.append(f"| `{rule.name}` | {makers} | {rule.says} | {'; '.join(rule.sources)} | {rule.certainty} |")
    return "\n".join(lines)
