"""Finding secrets in text: whole, in part, and in the encodings in which they leak."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

WINDOW = 12
"""So many characters of a secret in a row are a leak."""


def encodings(secret: str) -> Iterator[str]:
    """Yield a secret as it is, URL-encoded, in hex, and in base64 at each of its three alignments."""
    raw = secret.encode()
    yield secret
    yield quote(secret, safe="")
    yield raw.hex()
    for offset, ahead in ((0, 0), (1, 2), (2, 3)):  # characters that also depend on what stands before the secret
        text = base64.b64encode(b"\0" * offset + raw).decode().rstrip("=")[ahead:]
        whole = text[: len(text) - 1] if (offset + len(raw)) % 3 else text  # the last one depends on what follows
        yield whole
        yield whole.replace("+", "-").replace("/", "_")


class Searcher:
    """Knows secrets by name and finds them in text.

    Args:
        secrets: what to find, each with what reports call it; at least `WINDOW` characters long.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._needles: dict[str, str] = {}
        for secret, name in secrets.items():
            assert len(secret) >= WINDOW, name
            for text in encodings(secret):
                self._needles |= {text[at : at + WINDOW]: name for at in range(len(text) - WINDOW + 1)}

    def leaks(self, texts: Iterable[str]) -> list[str]:
        """Return one line per secret and line of text that it stands in."""
        needles, found = self._needles, []
        for line in {line for text in texts for line in text.splitlines()}:
            names = {
                needles[line[at : at + WINDOW]]
                for at in range(len(line) - WINDOW + 1)
                if line[at : at + WINDOW] in needles
            }
            found += [f"{name} in: {line[:1500]}" for name in sorted(names)]
        return found
