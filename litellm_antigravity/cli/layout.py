"""Text laid out by words: a word, be it an address of 200 characters, is never broken in the middle.

rich's own tables fold words that are longer than their column. Lines made here may be longer than the screen is wide
in that one case; a terminal shows them on several lines, and copies them as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

_GAP = 3
_NARROWEST = 30
"""So many columns a last cell that is wrapped has to have beside the others; else it goes below them."""

_WORD = re.compile(r"\s*(?:[^\s`]*`[^`]+`\S*|\S+)")
"""What is not broken: a word, and a command in backquotes, which people copy."""


def flow(text: Text, width: int, *, indent: int = 0, hang: int | None = None) -> list[Text]:
    """Return a text in lines of whole words.

    Args:
        text: in one paragraph.
        width: of the screen, in columns.
        indent: of the first line.
        hang: of the others; as the first when absent.
    """
    hang = indent if hang is None else hang
    breaks: list[int] = []
    end, at = 0, indent
    for word in _WORD.finditer(text.plain):
        length = cell_len(word[0])
        if at > hang and at + length > width and end:
            breaks.append(end + len(word[0]) - len(word[0].lstrip()))
            at, length = hang, cell_len(word[0].lstrip())
        at, end = at + length, word.end()
    lines = text.divide(breaks)
    for line in lines:
        line.rstrip()
    return [Text(" " * (hang if number else indent)) + line for number, line in enumerate(lines)]


def rows(
    table: Sequence[Sequence[Text]], width: int, *, indent: int = 0, widest_first: int | None = None
) -> Iterator[list[Text]]:
    """Yield the lines of each row: columns one below the other, the last one wrapped within itself.

    A first cell that is much longer than those of other rows has a line to itself. A last cell for which there is too
    little room comes below the others.

    Args:
        table: rows of equally many cells, of which the last may be long.
        width: of the screen, in columns.
        indent: of every line.
        widest_first: how wide the first column may be; a quarter of the screen when absent.
    """
    widths = _widths(table, most=max(12, width // 4) if widest_first is None else widest_first)
    last = indent + sum(one + _GAP for one in widths)
    for cells in table:
        if last > width:
            yield flow(joined(cells), width, indent=indent, hang=indent + 2)
        else:
            yield _aligned(cells, widths, width, indent)


def fits(table: Sequence[Sequence[Text]], width: int, *, indent: int = 0) -> bool:
    """Return whether every row has room on one line, with its columns below those of the others."""
    widths = [max(cell.cell_len for cell in column) for column in zip(*table, strict=True)]
    return bool(indent + sum(widths) + _GAP * (len(widths) - 1) <= width)


def _widths(table: Sequence[Sequence[Text]], most: int) -> list[int]:
    first, *others = [[one.cell_len for one in column] for column in zip(*(row[:-1] for row in table), strict=True)]
    return [max((one for one in first if one <= most), default=most), *map(max, others)]


def _aligned(cells: Sequence[Text], widths: Sequence[int], width: int, indent: int) -> list[Text]:
    lines: list[Text] = []
    line, at = Text(" " * indent), indent
    for cell, column in zip(cells[:-1], widths, strict=True):
        line.append_text(cell)
        at += column + _GAP
        if cell.cell_len > column:
            lines.append(line)
            line = Text()
        _pad(line, at)
    last = cells[-1]
    if at + last.cell_len > width and width - at < _NARROWEST:
        return [*lines, line, *flow(last, width, indent=indent + 2)]
    first, *others = flow(last, width, indent=at)
    line.append_text(first[at:])
    return [*lines, line, *others]


def _pad(line: Text, at: int) -> None:
    line.append(" " * max(0, at - line.cell_len))


def joined(parts: Iterable[Text], gap: str = " " * _GAP) -> Text:
    """Return texts in a row; empty ones are left out."""
    return Text(gap).join([part for part in parts if part])


def beside(head: Text, rest: Text, width: int, *, indent: int) -> list[Text]:
    """Return two texts on one line if there is room for them, else one below the other.

    Args:
        head: comes first.
        rest: comes behind it, or below it, wrapped.
        width: of the screen, in columns.
        indent: of the second one, where it comes below.
    """
    if head.cell_len + _GAP + rest.cell_len <= width:
        return [joined((head, rest))]
    return [*flow(head, width, hang=indent), *flow(rest, width, indent=indent)]


def show(console: Console, lines: Iterable[Text]) -> None:
    """Print lines as they are; the console is not to wrap them again."""
    for line in lines:
        line.rstrip()
        console.print(line, soft_wrap=True)


__all__ = ["beside", "fits", "flow", "joined", "rows", "show"]
