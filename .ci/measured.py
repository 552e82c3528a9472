"""Measures coverage in every Python process that the tests start, but not while LiteLLM is imported.

Python's tracing slows down whatever runs, ours or not. LiteLLM's import runs nothing of ours, and takes 4.5 s of
processor time without it and 6.8 s with it, in each of the many processes that import it. `.ci/run` has Python import
this module at its start.
"""

import sys
import threading
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

import coverage

UNMEASURED = {"litellm", "litellm.proxy.proxy_server"}


class _Unmeasured:
    """A finder that finds what others find, and has coverage stand still while that is executed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in UNMEASURED:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        spec = next((found for one in others if (found := one.find_spec(name, path, target)) is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                measuring = coverage.Coverage.current()
                if measuring is None or threading.current_thread() is not threading.main_thread():
                    execute(module)
                    return
                measuring.stop()
                try:
                    execute(module)
                finally:
                    measuring.start()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


coverage.process_startup()
if coverage.Coverage.current() is not None:
    sys.meta_path.insert(0, _Unmeasured())
