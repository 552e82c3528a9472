"""``FAULTS.md`` names tests that exist, and says something in every column."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from support import ROOT

pytestmark = pytest.mark.once

HERE = ROOT / "tests"
HEADING = "| fault | test | before | now |"
NAME = re.compile(r"`(?:(test_\w+)(?:\.py)?::)?(test_\w+)`")


def table() -> list[list[str]]:
    lines = (HERE / "FAULTS.md").read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|") and line != HEADING and set(line) - set("|-: ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]


def names_in(file: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    }


def test_every_test_that_the_table_of_faults_names_exists() -> None:
    known = {file.stem: names_in(file) for file in HERE.rglob("test_*.py")}
    everywhere = set().union(*known.values())
    rows = table()
    assert rows
    for fault, test, *_ in rows:
        named = NAME.findall(test)
        assert named, f"no test for: {fault}"
        for file, name in named:
            assert name in (known.get(file, set()) if file else everywhere), f"no such test: {file}::{name}"


def test_every_row_of_the_table_of_faults_is_complete() -> None:
    assert HEADING in (HERE / "FAULTS.md").read_text("utf-8")
    for row in table():
        assert len(row) == 4, row
        assert all(row), row
