"""A real headless Chromium, for tests of what a person sees; see `browser.js`."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import HANG_SECONDS

if TYPE_CHECKING:
    from typing_extensions import Self

_SCRIPT = Path(__file__).with_name("browser.js")


@functools.cache
def no_browser() -> str | None:
    """Return what is missing to run a browser; ``None`` when nothing is."""
    if shutil.which("chromium") is None:
        return "needs chromium"
    node = shutil.which("node")
    found = node and subprocess.run([node, "-e", 'require("playwright-core")'], capture_output=True, check=False)
    return None if found and found.returncode == 0 else "needs playwright-core where node finds it (NODE_PATH)"


class Browser:
    """A browser with one page. Use it as a context manager."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [shutil.which("node") or "node", str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "BROWSER_CHROMIUM": shutil.which("chromium") or ""},
        )
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=HANG_SECONDS)  # the end of its input ends it
        finally:
            self._process.kill()

    def do(self, *calls: list[Any]) -> Any:
        """Call methods of playwright's, each on what the one before returned, the first on the page.

        Args:
            calls: the name of each method, and its arguments.

        Raises:
            AssertionError: when one of them fails.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(calls) + "\n")
        self._process.stdin.flush()
        said = json.loads(self._process.stdout.readline())
        assert "error" not in said, said["error"]
        return said["found"]
