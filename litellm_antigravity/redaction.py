"""Secrets known by value, and how they are taken out of texts.

Patterns find what looks like a token; an opaque token looks like nothing. So every secret that comes into use in this
process is remembered here, and whatever somebody else has said (upstream above all, which may repeat what it was sent)
is searched for them before it is kept or shown.
"""

from __future__ import annotations

import base64
import html
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from litellm_antigravity.forking import AtRestInForks

HIDDEN: Final = "[hidden]"
"""What stands in the place of a secret."""

SHORTEST: Final = 8
"""A secret with fewer characters cannot be taken out by value: it would be found in ordinary words."""

PART: Final = 12
"""As many characters from the beginning or the end of a secret are hidden like the whole: others shorten, too."""

_MAX_EACH: Final = 2048
_MAX_CHARACTERS: Final = 1_000_000  # per kind; tokens have a few hundred, and all their spellings ten times as many
_DEPTH: Final = 4  # an escape inside an escape inside ...
_LONGEST_ESCAPE: Final = 6  # characters for one: \u002f, &#x2f;

# URLs (RFC 3986), JSON and other strings with backslashes, HTML; and blanks, at which others wrap lines.
_ESCAPE: Final = re.compile(
    r"%[0-9A-Fa-f]{2}|\\u00[0-9A-Fa-f]{2}|\\x[0-9A-Fa-f]{2}|\\[\\/\"']"
    r"|&(?:#\d{1,3}|#[xX][0-9A-Fa-f]{1,2}|[A-Za-z]{2,6});|\s+"
)
_FOLD: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ-_", "abcdefghijklmnopqrstuvwxyz+/")


@dataclass(frozen=True, slots=True, eq=False)
class _Spelling:
    """One way to write a secret, folded.

    Attributes:
        text: what certainly stands in a text that holds the secret.
        ahead: characters before it that depend on the secret as well as on its neighbour.
        behind: the same after it.
    """

    text: str
    ahead: int = 0
    behind: int = 0

    @property
    def anchors(self) -> tuple[str, str]:
        """What a search of a text finds first: either end."""
        return self.text[:SHORTEST], self.text[-SHORTEST:]

    def __repr__(self) -> str:
        return f"_Spelling({len(self.text)} characters)"


@dataclass(frozen=True, slots=True)
class _Level:
    """A text after some rounds of decoding; character ``i`` comes from ``starts[i]`` to ``ends[i]`` of the original."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]


class KnownSecrets(AtRestInForks):
    """The secrets in use in this process. Thread-safe; a forked child knows what its parent knew.

    Bounded: of those that pass (access tokens) the latest are kept, which is several generations for hundreds of
    accounts, and so it is for those that stay; what is used again counts as new.
    """

    _fork_rank = 100  # others call it while they hold their own locks; it calls nobody

    def __init__(self) -> None:
        self._lock = threading.Lock()  # forks are watched from the first secret on
        self._staying: OrderedDict[str, None] = OrderedDict()
        self._passing: OrderedDict[str, None] = OrderedDict()
        self._characters = {id(self._staying): 0, id(self._passing): 0}
        self._spellings: dict[str, tuple[_Spelling, ...]] = {}
        self._anchors: dict[str, dict[_Spelling, None]] = {}  # by its first and its last eight characters
        self._longest = 0

    def __repr__(self) -> str:
        return f"KnownSecrets({len(self._staying)} that stay, {len(self._passing)} that pass)"

    def remember(self, secret: str, *, passes: bool = False) -> None:
        """Take this secret out of every text from now on.

        Args:
            secret: of at least `SHORTEST` characters; a shorter one is ignored.
            passes: whether another one soon replaces it, as with access tokens.
        """
        if len(secret) < SHORTEST:
            return
        kind, other = (self._passing, self._staying) if passes else (self._staying, self._passing)
        self._watch_forks()
        with self._lock:
            if secret in kind:
                kind.move_to_end(secret)
                return
            kind[secret] = None
            self._characters[id(kind)] += len(secret)
            if secret not in other:
                self._spellings[secret] = tuple(_spellings(secret))
                for spelling in self._spellings[secret]:
                    for anchor in spelling.anchors:
                        self._anchors.setdefault(anchor, {})[spelling] = None
            self._longest = max(self._longest, len(secret))
            while len(kind) > _MAX_EACH or self._characters[id(kind)] > _MAX_CHARACTERS:
                self._forget_oldest(kind, other)

    def _forget_oldest(self, kind: OrderedDict[str, None], other: OrderedDict[str, None]) -> None:
        secret, _ = kind.popitem(last=False)
        self._characters[id(kind)] -= len(secret)
        if secret in other:
            return
        for spelling in self._spellings.pop(secret):
            for anchor in spelling.anchors:
                found = self._anchors.get(anchor, {})
                found.pop(spelling, None)
                if not found:
                    self._anchors.pop(anchor, None)

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._staying.clear()
            self._passing.clear()
            self._characters = dict.fromkeys(self._characters, 0)
            self._spellings.clear()
            self._anchors.clear()
            self._longest = 0

    @property
    def longest(self) -> int:
        """How many characters of a text a secret may take up at most, however it is escaped."""
        return _LONGEST_ESCAPE * (self._longest + 1) * 2  # twice: in base64, or in hex

    def hide(self, text: str, limit: int | None = None) -> str:
        """Return a text with `HIDDEN` in the place of every secret, whether plain, escaped, in base64 or in hex.

        Args:
            text: what somebody said.
            limit: cut the text after as many characters; a secret across the cut is hidden, too.
        """
        if limit is not None and len(text) > limit:
            text, cut = text[: limit + self.longest], limit
        else:
            cut = len(text)
        pieces, last = [], 0
        for start, end in self._found_in(text):
            if start >= cut:
                break
            pieces += [text[last:start], HIDDEN]
            last = end
        pieces.append(text[last:cut])  # nothing when the last one goes beyond
        return "".join(pieces)

    def holds(self, text: str) -> bool:
        """Return whether a secret stands in a text."""
        return next(iter(self._found_in(text)), None) is not None

    def _found_in(self, text: str) -> list[tuple[int, int]]:
        """Return from where to where there are secrets, in order and without overlaps."""
        if not self._anchors:
            return []
        spans = [
            (level.starts[start], level.ends[end - 1])
            for level in _levels(text)
            for start, end in self._spans(level.text)
        ]
        merged: list[tuple[int, int]] = []
        for start, end in sorted(spans):
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end))
            else:
                merged.append((start, end))
        return merged

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        folded, anchors, at = _folded(text), self._anchors, 0
        while at <= len(folded) - SHORTEST:
            anchor = folded[at : at + SHORTEST]
            at += 1
            if anchor not in anchors:
                continue
            with self._lock:
                spellings = tuple(anchors.get(anchor, ()))
            for spelling in spellings:
                if (span := _span_of(spelling, folded, at - 1)) is not None:
                    yield span
                    if span[1] - span[0] >= len(spelling.text):
                        at = max(at, span[1] - spelling.behind)  # behind the whole of it


def _span_of(spelling: _Spelling, text: str, at: int) -> tuple[int, int] | None:
    """Return what of a text is this spelling, or a large enough part of it, where one of its anchors is."""
    wanted = spelling.text
    start, end = at, at + SHORTEST
    if text.startswith(wanted, at):
        end = at + len(wanted)
    elif len(wanted) <= PART:
        return None
    elif text.startswith(wanted[:PART], at):
        end = at + _equal(wanted, text[at : at + len(wanted)])
    elif text.endswith(wanted[-PART:], 0, end):
        before = text[max(0, end - len(wanted)) : end]
        start = end - _equal(wanted[::-1], before[::-1])
    else:
        return None
    start, end = max(0, start - spelling.ahead), min(len(text), end + spelling.behind)
    while spelling.behind and end < len(text) and text[end] == "=":  # padding tells the length
        end += 1
    return start, end


def _equal(one: str, other: str) -> int:
    """Return how many characters are equal from the beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _folded(text: str) -> str:
    """Return a text in one case, with the two alphabets of base64 (RFC 4648, sections 4 and 5) as one; as long."""
    return text.lower().replace("-", "+").replace("_", "/") if text.isascii() else text.translate(_FOLD)


def _spellings(secret: str) -> Iterator[_Spelling]:
    """Yield a secret as it is, in hex, and in base64 at each of the three places where it may begin in it."""
    yield _Spelling(_folded(secret))
    *_, last = _levels(secret)
    if last.text != secret and len(last.text) >= SHORTEST:  # it has what looks like an escape
        yield _Spelling(_folded(last.text))
    # What is sent in a form is escaped first.
    for raw in dict.fromkeys((secret.encode("utf-8", "surrogatepass"), quote(secret, safe="").encode())):
        yield _Spelling(raw.hex())
        for offset, ahead in ((0, 0), (1, 2), (2, 3)):
            text = base64.b64encode(b"\0" * offset + raw).decode("ascii").rstrip("=")
            behind = 1 if (offset + len(raw)) % 3 else 0
            yield _Spelling(_folded(text[ahead : len(text) - behind]), ahead, behind)


def _levels(text: str) -> Iterator[_Level]:
    """Yield a text as it is, and after each round of decoding that changes it."""
    level = _Level(text, range(len(text)), range(1, len(text) + 1))
    yield level
    for _ in range(_DEPTH):
        if _ESCAPE.search(level.text) is None:
            return
        decoded = _decoded(level)
        if decoded.text == level.text:
            return
        level = decoded
        yield level


def _decoded(level: _Level) -> _Level:
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    last = 0
    for found in _ESCAPE.finditer(level.text):
        start, end = found.span()
        meant = _meant(found[0])
        pieces += [level.text[last:start], meant]
        starts += [*level.starts[last:start], *[level.starts[start]] * len(meant)]
        ends += [*level.ends[last:start], *[level.ends[end - 1]] * len(meant)]
        last = end
    pieces.append(level.text[last:])
    starts += level.starts[last:]
    ends += level.ends[last:]
    return _Level("".join(pieces), starts, ends)


def _meant(escape: str) -> str:
    if escape[0] == "%":
        return chr(int(escape[1:], 16))
    if escape[0] == "&":
        return html.unescape(escape)
    if escape[0] == "\\":
        return escape[1] if len(escape) == 2 else chr(int(escape[-2:], 16))
    return ""


SECRETS: Final = KnownSecrets()
"""Those of this process."""
