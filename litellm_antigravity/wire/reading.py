"""Bodies are read up to a limit before anything of them is kept, and unpacked in pieces of bounded size.

httpx unpacks all that has come at once: a few hundred kilobytes of gzip may be hundreds of megabytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

import httpx

ENCODING: Final = "gzip"
"""What to ask for in ``Accept-Encoding``; nothing else is unpacked here."""

MAX_ERROR_BYTES: Final = 1_000_000
"""Of an error's body no more is read: upstream's are a few hundred bytes, but a page in between may be anything."""

_PIECE_BYTES: Final = 2**16


class TooLongError(httpx.HTTPError):
    """A body is longer than it may be.

    Attributes:
        most: how many bytes it may have.
    """

    def __init__(self, most: int) -> None:
        super().__init__(f"the answer is longer than {most:,} bytes")
        self.most = most


class Unpacker:
    """Undoes a response's content encoding (RFC 9110, section 8.4).

    Args:
        response: whose.
    """

    def __init__(self, response: httpx.Response) -> None:
        encoding = str(response.headers.get("content-encoding", "")).strip().lower()
        self._is_known = encoding in ("", "identity", "gzip", "x-gzip")
        self._inflating = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding.endswith("gzip") else None

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Yield what these bytes are.

        Raises:
            httpx.DecodingError: when they are not what the response says, or in an encoding that nobody asked for.
        """
        if not self._is_known:
            msg = "the answer is encoded in a way that was not asked for"
            raise httpx.DecodingError(msg)
        if self._inflating is None:
            yield received
            return
        while not self._inflating.eof:
            try:
                piece = self._inflating.decompress(received, _PIECE_BYTES)
            except zlib.error as error:
                raise httpx.DecodingError(str(error)) from error
            received = self._inflating.unconsumed_tail
            if piece:
                yield piece
            if not received and len(piece) < _PIECE_BYTES:
                return


class Body:
    """What has come of a response's body.

    Of an error, the status says the most: its body may be cut, and may be nothing.

    Args:
        most: bytes of a reply, unpacked; of an error's body `MAX_ERROR_BYTES` are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._is_error = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._unpacker: Unpacker | None = None

    @property
    def content(self) -> bytes:
        """All of it that there is."""
        return b"".join(self._pieces)[: self._most]

    def fill(self, response: httpx.Response) -> None:
        """Read a response, and close it.

        Raises:
            TooLongError: when a reply is longer than it may be.
            httpx.HTTPError: when a reply cannot be read to its end.
        """
        try:
            self._begin(response)
            for received in response.iter_raw():
                if not self._take(received):
                    break
        except httpx.HTTPError:
            if not self._is_error:
                raise
        finally:
            response.close()

    async def afill(self, response: httpx.Response) -> None:
        """Do what `fill` does on an event loop."""
        try:
            self._begin(response)
            async for received in response.aiter_raw():
                if not self._take(received):
                    break
        except httpx.HTTPError:
            if not self._is_error:
                raise
        finally:
            await response.aclose()

    def _begin(self, response: httpx.Response) -> None:
        self._unpacker = Unpacker(response)
        self._is_error = response.status_code != 200
        if self._is_error:
            self._most = MAX_ERROR_BYTES
        length = response.headers.get("content-length", "")
        if not self._is_error and length.isascii() and length.isdigit() and int(length[:20]) > self._most:
            raise TooLongError(self._most)

    def _take(self, received: bytes) -> bool:
        """Keep what has come; return whether more is wanted."""
        for piece in self._unpacker.feed(received) if self._unpacker else ():
            self._pieces.append(piece)
            self._size += len(piece)
            if self._size > self._most:
                if self._is_error:
                    return False
                raise TooLongError(self._most)
        return True
