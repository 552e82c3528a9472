"""``doctor``: the shared state's folder, and the processes that share it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from litellm_antigravity.cli.doctor_report import Finding
from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.settings import Settings
from litellm_antigravity.settings.places import spell_path
from litellm_antigravity.state.backends import host_ledger
from litellm_antigravity.state.file_systems import network_type
from litellm_antigravity.state.lock_probe import problem_with_locks
from litellm_antigravity.state.private_files import problem_with_directory
from litellm_antigravity.state.rows import Presence

_FOLDER = "state folder"
_ELSEWHERE = "Set state_dir to a folder of your own, on a disk of this host."


def check_state(settings: Settings) -> Iterator[Finding]:
    """Yield how the folder is, whether locks hold there, and who shares it. Changes nothing."""
    folder = settings.state_dir
    try:
        found: os.stat_result | None = folder.lstat()
    except FileNotFoundError:
        found = None
    except OSError as error:
        yield Finding(_FOLDER, "failed", f"{spell_path(folder)} cannot be used: {error.strerror}.", _ELSEWHERE)
        return
    if found is not None and (problem := problem_with_directory(found)) is not None:
        yield Finding(_FOLDER, "failed", f"{spell_path(folder)} {problem}.", _ELSEWHERE)
        return
    yield _mode(folder, found)
    yield _file_system(folder, settings)
    writable = folder if found is not None else _nearest(folder)
    yield _locks(writable)
    if found is None:
        yield Finding("workers", "ok", "No process has used the accounts yet.")
    else:
        yield from _content(folder, settings)


def _nearest(folder: Path) -> Path:
    """Return the folder that exists in which the others would be made."""
    return next((one for one in folder.absolute().parents if one.exists()), Path("/"))


def _mode(folder: Path, found: os.stat_result | None) -> Finding:
    if found is None:
        parent = _nearest(folder)
        if os.access(parent, os.W_OK | os.X_OK):
            return Finding(_FOLDER, "ok", f"{spell_path(folder)} will be made by the first request.")
        return Finding(_FOLDER, "failed", f"{spell_path(folder)} cannot be made in {spell_path(parent)}.", _ELSEWHERE)
    mode = stat.S_IMODE(found.st_mode)
    told = f"{spell_path(folder)}, yours, mode {mode:04o}."
    if os.name == "posix" and mode & 0o077:
        return Finding(_FOLDER, "warning", told, "It is made private (0700) when it is used.")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return Finding(_FOLDER, "failed", f"{told} It cannot be written to.", f"Type `chmod 700 {folder}`.")
    return Finding(_FOLDER, "ok", told)


def _file_system(folder: Path, settings: Settings) -> Finding:
    kind = network_type(folder)
    if kind is None:
        return Finding("file system", "ok", "A disk of this host.")
    told = f"{spell_path(folder)} is on a network file system ({kind}), where a database may break."
    return Finding("file system", "warning" if settings.state_dir_on_network else "failed", told, _ELSEWHERE)


def _locks(folder: Path) -> Finding:
    try:
        problem = problem_with_locks(folder)
    except OSError as error:
        return Finding("locks", "failed", f"No file can be made in {spell_path(folder)}: {error.strerror}.", _ELSEWHERE)
    if problem is not None:
        return Finding("locks", "failed", f"In {spell_path(folder)}, {problem}.", _ELSEWHERE)
    return Finding("locks", "ok", "A lock keeps two processes apart, and is free when its holder is killed.")


def _content(folder: Path, settings: Settings) -> Iterator[Finding]:
    """Look into the state, if there is some."""
    try:
        if not any(folder.iterdir()):
            yield Finding("workers", "ok", "No process has used the accounts yet.")
            return
        store = host_ledger(settings.state_backend, folder, on_network=settings.state_dir_on_network)
        with contextlib.closing(store):
            processes, dropped = store.processes(forget=False), store.status().dropped_rows
    except (StateUnavailableError, OSError) as error:
        yield Finding("shared state", "failed", f"{error}.", "Until then each process remembers by itself.")
        return
    if dropped:
        yield Finding("shared state", "warning", f"{dropped} row(s) were ignored that this package did not write.")
    yield _workers(processes)


def _workers(processes: list[Presence]) -> Finding:
    if not processes:
        return Finding("workers", "ok", "No process is at work.")
    each = ", ".join(
        f"{one.pid} ({one.strategy}{'' if one.slot is None else f', slot {one.slot}'})" for one in processes
    )
    told = f"{len(processes)} process(es) share it: {each}."
    if len({one.strategy for one in processes}) > 1:
        return Finding("workers", "warning", told, "They use different strategies: check the settings of each.")
    return Finding("workers", "ok", told)
