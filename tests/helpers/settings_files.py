"""Settings files of a user who has none, of a project, and what is refused about them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from litellm_antigravity.errors import SettingsError
from litellm_antigravity.settings import Settings

CANARY = "canary-5f0c9e"
WriteFile: TypeAlias = Callable[[object], Path]


@pytest.fixture(autouse=True)
def _lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run with a home of one's own, no project file, and none of the variables that settings read."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith(("OPENCODE_", "LITELLM_ANTIGRAVITY_", "XDG_")):
                patch.delenv(name)
        home = tmp_path_factory.mktemp("home")
        patch.setenv("HOME", str(home))
        (home / "work").mkdir()
        patch.chdir(home / "work")
        yield


def _write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def user_file() -> WriteFile:
    return lambda content: _write(Path.home() / ".config/opencode/antigravity.json", content)


@pytest.fixture
def project_file() -> WriteFile:
    return lambda content: _write(Path(".opencode/antigravity.json"), content)


def _refusal(**arguments: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings(**arguments)
    return str(caught.value)
