"""Several Google (Antigravity) accounts, or several API keys of any provider, behind LiteLLM.

Importing this package imports neither litellm nor diskcache and opens nothing; what is named below is loaded when it
is first asked for. Who asks LiteLLM for ``antigravity/...`` before `register` is called is told so: see `unregistered`.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any

from litellm_antigravity import unregistered
from litellm_antigravity._version import __version__

if TYPE_CHECKING:
    from litellm_antigravity.errors import (
        AccountsFileError,
        AllAccountsLimitedError,
        AntigravityError,
        CredentialError,
        GrantRevokedError,
        RequestRefusedError,
        SettingsError,
        StateUnavailableError,
    )
    from litellm_antigravity.litellm.registration import handler, hook, install, register
    from litellm_antigravity.pool import AccountPool, Lease
    from litellm_antigravity.settings import Settings

_WHERE = {
    "AccountsFileError": "errors",
    "AllAccountsLimitedError": "errors",
    "AntigravityError": "errors",
    "CredentialError": "errors",
    "GrantRevokedError": "errors",
    "RequestRefusedError": "errors",
    "SettingsError": "errors",
    "StateUnavailableError": "errors",
    "AccountPool": "pool",
    "Lease": "pool",
    "Settings": "settings",
    "handler": "litellm.registration",
    "hook": "litellm.registration",
    "install": "litellm.registration",
    "register": "litellm.registration",
}

__all__ = [
    "AccountPool",
    "AccountsFileError",
    "AllAccountsLimitedError",
    "AntigravityError",
    "CredentialError",
    "GrantRevokedError",
    "Lease",
    "RequestRefusedError",
    "Settings",
    "SettingsError",
    "StateUnavailableError",
    "__version__",
    "handler",
    "hook",
    "install",
    "register",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        meant = difflib.get_close_matches(name, __all__, n=1)
        msg = f"module {__name__!r} has no attribute {name!r}" + (f"; did you mean {meant[0]!r}?" if meant else "")
        raise AttributeError(msg)
    module = importlib.import_module(f"{__name__}.{_WHERE[name]}")
    value = getattr(module, name)
    if name in ("handler", "hook"):
        module.configure_from_proxy()  # stops a proxy that is configured wrong; asked anew at each reload
    else:
        globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


unregistered.watch()
