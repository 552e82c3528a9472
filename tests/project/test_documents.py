"""What code and tests name as a source is in the repository: pages of docs/, their sections, modules in documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

pytestmark = pytest.mark.once

PAGE = re.compile(r"docs/([\w-]+\.md)(?:, \"([^\"]+)\")?")
ELSEWHERE = re.compile(r"\b(DESIGN|UPSTREAM|FIELD|RELIABILITY|OAA)(\.md|,? (section|lesson|F?\d))")
MODULE = re.compile(r"`((?:litellm_antigravity/)?(?:\w+/)*\w+\.py)`")


def sources() -> Iterator[Path]:
    """Yield the package's modules and those of its tests, but this one."""
    for folder in ("litellm_antigravity", "tests"):
        yield from (path for path in (ROOT / folder).rglob("*.py") if path != Path(__file__))


def test_every_page_that_is_named_is_there_with_its_section() -> None:
    found, missing = 0, []
    for path in sources():
        for page, section in PAGE.findall(path.read_text("utf-8")):
            found += 1
            file = ROOT / "docs" / page
            if not file.exists() or (section and f"# {section}\n" not in file.read_text("utf-8")):
                missing.append(f"{path.relative_to(ROOT)}: {page} {section}")
    assert missing == []
    assert found > 40


def test_nothing_refers_to_a_document_that_is_not_in_the_repository() -> None:
    assert [str(path) for path in sources() if ELSEWHERE.search(path.read_text("utf-8"))] == []


def test_every_module_that_a_page_names_is_there() -> None:
    package = ROOT / "litellm_antigravity"
    rooms = {path.name for path in package.iterdir() if path.is_dir()}  # else it is another project's module
    found, missing = 0, []
    for page in (ROOT / "docs").glob("*.md"):
        for name in MODULE.findall(page.read_text("utf-8")):
            inside = name.removeprefix("litellm_antigravity/")
            if inside != name or inside.partition("/")[0] in rooms:
                found += 1
                if not (package / inside).exists():
                    missing.append(f"{page.name}: {name}")
    assert missing == []
    assert found > 20
