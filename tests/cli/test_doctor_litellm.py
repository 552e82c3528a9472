"""What ``doctor`` says of the installed LiteLLM: its release, and the seams that this package leans on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import ROOT, run_python

from litellm_antigravity.cli import doctor_litellm
from litellm_antigravity.litellm.releases import NEWEST_TRIED, OLDEST, parsed, problem_with
from litellm_antigravity.state.lock_probe import problem_with_locks


def test_releases_are_told_apart() -> None:
    assert problem_with("1.108.7") is None
    assert problem_with(".".join(map(str, OLDEST))) is None
    assert "too old" in (problem_with("1.89.9") or "")
    assert "compromised" in (problem_with("1.82.7") or "")
    assert parsed("1.111.0rc1") > NEWEST_TRIED


def test_the_oldest_release_is_the_one_that_the_package_asks_for() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert f'"litellm>={".".join(map(str, OLDEST))},' in project


def test_every_seam_of_the_installed_litellm_holds() -> None:
    release, seams = doctor_litellm.check_litellm()
    assert (release.state, seams.state) == ("ok", "ok"), seams


def test_a_seam_that_does_not_hold_is_named_with_what_it_is_for() -> None:
    code = """
        import litellm.main
        from support import answer

        del litellm.main.get_llm_provider
        from litellm_antigravity.litellm import self_check
        import contextlib, io

        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            self_check.main()
        answer(printed.getvalue())
    """
    [told] = json.loads(run_python(code))["missing"]
    assert "has no litellm.main.get_llm_provider (" in told
    assert "A model's name with the plugin's prefix is an unknown provider to LiteLLM" in told


def test_a_litellm_that_cannot_be_imported_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "litellm").mkdir()
    (tmp_path / "litellm" / "__init__.py").write_text("raise ImportError('broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    *_, seams = doctor_litellm.check_litellm()
    assert seams.state == "failed"
    assert "ImportError: broken" in seams.says


def test_where_no_process_can_be_started_that_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`doctor` ended with "something unexpected happened"; for locks it blamed the state folder."""
    python = tmp_path / "python"
    python.touch(mode=0o600)  # may not be executed, whoever asks
    monkeypatch.setattr("sys.executable", str(python))
    *_, seams = doctor_litellm.check_litellm()
    assert (seams.state, seams.says) == ("failed", "No process can be started to look at them: Permission denied.")
    assert problem_with_locks(tmp_path) == "locks cannot be had (Permission denied)"
