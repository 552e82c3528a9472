"""What ``antigravity/...`` answers while nobody has called `register`: one sentence, in place of LiteLLM's puzzle.

LiteLLM asks for "the LLM provider" then, though the name has one. Whoever has imported this package meant it to be that
one, so an entry in LiteLLM's own list of custom providers says what is missing; `register` puts the real one in its
place. LiteLLM is never imported for it: the entry is made when somebody else imports it, or has done so.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

_LITELLM = "litellm"
_PROVIDER = "antigravity"


def _refuse(_: object, *__: object, **call: Any) -> NoReturn:
    litellm: Any = sys.modules[_LITELLM]  # which has called this
    model = str(call.get("model", "<model>"))[:256]
    raise litellm.BadRequestError(
        message=(
            f"{_PROVIDER}/{model}: litellm_antigravity is imported, but not registered with LiteLLM. Call "
            "litellm_antigravity.register() once, before the first request."
        ),
        model=model,
        llm_provider=_PROVIDER,
    )


class _Watch:
    """A finder that finds nothing, and is asked for every module that is not imported yet."""

    def __init__(self) -> None:
        self._looking = False

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        """Let the others find LiteLLM, and add to what its loader does; ``None`` for any other module."""
        if name != _LITELLM or self._looking:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._looking = False
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _stand_in(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # of this loader, which is nobody else's
        return spec


def _stand_in(litellm: Any) -> None:
    """Be the provider until there is one, by a provider whose every method refuses."""
    known = getattr(litellm, "custom_provider_map", None)
    base = getattr(litellm, "CustomLLM", None)
    if not isinstance(known, list) or not isinstance(base, type):  # half imported, or unlike any release there is
        return
    if not any(entry.get("provider") == _PROVIDER for entry in known):
        methods = {name: _refuse for name in dir(base) if not name.startswith("_")}
        stand_in = type("Unregistered", (base,), methods)()
        litellm.custom_provider_map = [*known, {"provider": _PROVIDER, "custom_handler": stand_in}]


def watch() -> None:
    """Stand in for the provider as soon as LiteLLM is imported."""
    litellm = sys.modules.get(_LITELLM)
    if litellm is not None:
        _stand_in(litellm)
    elif not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())


__all__ = ["watch"]
