"""Server-sent events (WHATWG HTML, section 9.2), as far as upstream uses them: the ``data`` of each event."""

from __future__ import annotations

import re

_LINE_END = re.compile(rb"\r\n|\n|\r")


class SSEDecoder:
    r"""Turns bytes, split anywhere, into the data of whole events.

    Lines end with CR LF, LF or CR and with nothing else: text may hold U+2028, which ``str.splitlines`` would break.
    The time it takes is linear in what it is fed with: an image is one line of megabytes, and comes in small pieces.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []

    def feed(self, received: bytes) -> list[bytes]:
        """Return the data of every event that ``received`` completes."""
        events: list[bytes] = []
        buffer: bytes | bytearray = received
        known = start = 0
        if self._rest:
            known = len(self._rest) - self._rest.endswith(b"\r")  # no line ends before
            self._rest += received  # in place, unlike adding up `bytes`
            buffer = self._rest
        for end in _LINE_END.finditer(buffer, known):
            if end.group() == b"\r" and end.end() == len(buffer):
                break  # its LF may still come
            self._line(bytes(buffer[start : end.start()]), events)
            start = end.end()
        if start == len(buffer):
            self._rest = bytearray()
        elif start or buffer is received:
            self._rest = bytearray(buffer[start:])
        return events

    def finish(self) -> list[bytes]:
        """Return what the stream's end completes.

        The standard drops an event without a blank line after it; upstream's last one is worth having.
        """
        events: list[bytes] = []
        if self._rest:
            self._line(bytes(self._rest.rstrip(b"\r")), events)
            self._rest = bytearray()
        self._line(b"", events)
        return events

    def _line(self, line: bytes, events: list[bytes]) -> None:
        if not line:
            if self._data:
                events.append(b"\n".join(self._data))
                self._data = []
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
