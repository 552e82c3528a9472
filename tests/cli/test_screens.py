"""What every command shows: at 60, 80 and 120 columns, with and without colours, as kept in ``tests/cli/screens/``."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from command_line import run
from rich.text import Text
from screens import FOLDER, SCREENS, WIDTHS, Screen, help_screens, home_of, rendered, shown

pytestmark = pytest.mark.once

ALL = [*SCREENS, *help_screens()]
LAID_OUT = [one for one in ALL if "--json" not in one.line and not one.line.startswith("auth")]
HOW = "Look at it; `pytest tests/cli/test_screens.py --update-screens` keeps it."


@pytest.mark.parametrize("screen", ALL, ids=str)
def test_a_screen_is_as_it_was_when_somebody_looked_at_it(screen: Screen, request: pytest.FixtureRequest) -> None:
    file = FOLDER / f"{screen.name}.txt"
    text = rendered(screen)
    if request.config.getoption("--update-screens"):
        FOLDER.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
    assert file.is_file(), f"{file.name} is not there. {HOW}"
    assert text == file.read_text("utf-8"), HOW


@pytest.mark.parametrize("screen", [one for one in SCREENS if one.line], ids=str)  # click's --help breaks at hyphens
def test_no_word_is_broken_on_a_narrow_screen_and_colours_change_no_word(screen: Screen) -> None:
    narrow, middle, wide = (Counter(shown(screen, width, colour=False).split()) for width in WIDTHS)
    assert narrow == middle == wide
    assert Counter(Text.from_ansi(shown(screen, WIDTHS[0], colour=True)).plain.split()) == narrow


@pytest.mark.parametrize("screen", LAID_OUT, ids=str)
def test_lines_end_at_the_edge_unless_a_word_is_longer(screen: Screen) -> None:
    for width in (60, 160):
        text, _, examples = shown(screen, width, colour=False).partition("Examples:\n")
        assert all(line.startswith("    ") for line in examples.splitlines())  # these are for copying as they are
        for line in text.splitlines():
            before, _, last = line.rpartition(" ")
            assert len(line) <= width or (len(before) <= width and len(last) > 16)


def test_no_color_takes_the_colours_away_on_a_terminal_and_leaves_the_words() -> None:
    (busy,) = [screen for screen in SCREENS if screen.name == "status-busy-day"]
    with home_of(busy):
        variables = {"COLUMNS": "80", "TERM": "xterm-256color", "FORCE_COLOR": "1"}
        with_colours = run("status", **variables).stdout
        without = run("status", **variables, NO_COLOR="1").stdout
    colour = re.compile(r"\x1b\[(?:\d+;)*3[0-7]m")
    assert colour.search(with_colours)
    assert not colour.search(without)
    assert Text.from_ansi(without).plain == Text.from_ansi(with_colours).plain


def test_every_file_of_a_screen_belongs_to_one() -> None:
    assert {file.stem for file in FOLDER.glob("*.txt")} == {screen.name for screen in ALL}


def test_no_two_screens_have_one_file() -> None:
    assert max(Counter(screen.name for screen in ALL).values()) == 1
