"""``doctor``: LiteLLM's release, and every private name of it that this package relies on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from litellm_antigravity.cli.doctor_report import Finding
from litellm_antigravity.litellm.releases import NEWEST_TRIED, OLDEST, parsed, problem_with, spelled

_HANG_SECONDS = 180.0
_OTHER_RELEASE = f"Install a release from {spelled(OLDEST)} to {spelled(NEWEST_TRIED)}."


def check_litellm() -> Iterator[Finding]:
    """Yield how the release is, and which seams do not hold."""
    try:
        installed = version("litellm")
    except PackageNotFoundError:
        yield Finding("LiteLLM", "failed", "LiteLLM is not installed.", "Type `pip install litellm`.")
        return
    problem = problem_with(installed)
    if problem is not None:
        yield Finding("LiteLLM", "failed", problem)
        return
    newer = f", newer than any that was tried ({spelled(NEWEST_TRIED)})" if parsed(installed) > NEWEST_TRIED else ""
    yield Finding("LiteLLM", "ok", f"Release {installed}{newer}.")
    yield from _seams()


def _seams() -> Iterator[Finding]:
    found = _asked()
    if "unasked" in found:
        told = f"No process can be started to look at them: {found['unasked']}."
        yield Finding("seams", "failed", told, "Let this user start processes (`ulimit -u`), and Python be executed.")
        return
    if "error" in found:
        told = f"This package cannot be put into LiteLLM: {found['error']}."
        yield Finding("seams", "failed", told, _OTHER_RELEASE)
        return
    missing = found["missing"]
    assert isinstance(missing, list)  # noqa: S101 - `self_check` writes one
    for told in missing:
        yield Finding("seams", "failed", str(told), _OTHER_RELEASE)
    if not missing:
        yield Finding("seams", "ok", f"All {found['count']} names of LiteLLM that this package relies on are there.")


def _asked() -> dict[str, object]:
    """Ask a process of its own: see `self_check`."""
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # no download
    try:
        done = subprocess.run(
            [sys.executable, "-m", "litellm_antigravity.litellm.self_check"],
            capture_output=True,
            text=True,
            timeout=_HANG_SECONDS,
            check=False,
            env=environment,
        )
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return {"error": f"importing it takes more than {_HANG_SECONDS:.0f} s"}
    except OSError as error:
        return {"unasked": str(error.strerror or error)}
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return {"error": last[0]}
    return dict(answer)
