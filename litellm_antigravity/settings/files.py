"""Reading a settings file: JSON, with the comments and trailing commas that people put in it."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

from litellm_antigravity.errors import SettingsError
from litellm_antigravity.logs import LOGGER
from litellm_antigravity.settings.places import spell_path

MAX_BYTES = 256 * 1024
"""Far above any real settings file: json5 needs seconds for a megabyte, and a project file may be anybody's."""

_JSON5_POSITION = re.compile(r":(\d+) .* at column (\d+)$", re.DOTALL)  # json5's only word on where


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a settings file; ``None`` when there is no such file.

    Raises:
        SettingsError: the file cannot be read, is too large, is not UTF-8, is not JSON, or holds something other than
            an object. The message names the file, where it breaks (line and column from 1), and the remedy.
    """
    data = _read(path)
    if data is None:
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _broken(path, f"is not UTF-8 text (line {line})", "Save it as UTF-8.") from None
    if not text.strip():
        raise _broken(path, "is empty (line 1, column 1)", "Write {} into it, or remove it.")
    found, fault = _parse(text)
    if fault is not None:
        raise _broken(path, f"is not valid JSON ({fault})", "Correct it; comments and trailing commas are allowed.")
    if not isinstance(found, dict):
        kind = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}.get(type(found), "a number")
        raise _broken(path, f"holds {kind}, not an object (line 1, column 1)", 'Write it as {"setting": value}.')
    return found


def _broken(path: Path, what: str, remedy: str) -> SettingsError:
    return SettingsError(f"The settings file {spell_path(path)} {what}. {remedy}")


def _read(path: Path) -> bytes | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        # The folder may not be entered, as when a container keeps another user's HOME. Whether there is a file, nobody
        # here can know, and people who use none are not to be stopped by it.
        LOGGER.warning("There is no permission to look for the settings file %s; going on without.", spell_path(path))
        return None
    except OSError as error:
        raise _broken(path, f"cannot be read: {error.strerror}", "Correct it, or remove it.") from error
    if not stat.S_ISREG(found.st_mode):  # reading a pipe would wait for ever
        raise _broken(path, "is not a regular file", "Replace it by one, or remove it.")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        remedy = "Make it readable for the user who runs this process, or remove it."
        raise _broken(path, f"cannot be read: {error.strerror}", remedy) from error
    if len(data) > MAX_BYTES:
        raise _broken(path, f"is larger than {MAX_BYTES // 1024} KiB", "Keep nothing but settings in it.")
    return data


def _parse(text: str) -> tuple[Any, str | None]:
    """Return the value and ``None``, or anything and where the text breaks.

    Neither parser's own words are passed on: they may quote the text, and with it a secret.
    """
    try:
        return json.loads(text), None  # much the faster of the two, and most files are plain JSON
    except (ValueError, RecursionError):
        pass
    import json5

    try:
        return json5.loads(text), None
    except ValueError as error:
        position = _JSON5_POSITION.search(str(error))
        return None, f"line {position[1]}, column {position[2]}" if position else "position unknown"
    except RecursionError:
        return None, "it is nested too deeply"
