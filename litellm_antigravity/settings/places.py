"""Where settings, accounts and state live on this machine, and how a place is shown to people."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from litellm_antigravity.errors import SettingsError

_NO_HOME = "No home directory can be found for this user; set HOME, or the setting accounts_file."


def config_dir_for(env: Mapping[str, str], platform: str, home: Path) -> Path:
    """Return the folder of OpenCode's settings, as the plugin finds it (docs/upstream.md, "Accounts file").

    Args:
        env: the environment variables; an empty one counts as unset.
        platform: as `sys.platform` spells it.
        home: the user's home folder.
    """
    if chosen := env.get("OPENCODE_CONFIG_DIR"):
        # Not `expanduser`: the result is to depend on the arguments alone.
        folder = Path(chosen)
        return home.joinpath(*folder.parts[1:]) if folder.parts[0] == "~" else folder
    if platform == "win32":
        return Path(env.get("APPDATA") or home / "AppData" / "Roaming") / "opencode"
    return Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "opencode"


def user_config_dir() -> Path:
    r"""Return the folder that holds the user file and, by default, the accounts file.

    ``$OPENCODE_CONFIG_DIR``, else ``%APPDATA%\opencode`` on Windows, else ``$XDG_CONFIG_HOME/opencode``, else
    ``~/.config/opencode``.

    Raises:
        SettingsError: the folder depends on a home directory, and this user has none.
    """
    try:
        home = Path.home()
    except RuntimeError:
        home = Path("~")  # a container may run under a user id that has no home; an explicit folder needs none
    folder = config_dir_for(os.environ, sys.platform, home)
    if folder.parts[:1] == ("~",):
        raise SettingsError(_NO_HOME)
    return folder


def default_accounts_file() -> Path:
    """Return the accounts file beside the user file.

    Raises:
        SettingsError: as `user_config_dir`.
    """
    return user_config_dir() / "antigravity-accounts.json"


def default_state_dir() -> Path:
    """Return the user's state folder for this package, as platformdirs knows it for the platform.

    Where this user has no home directory it begins with ``~``: a folder that cannot be used, which fails no request.
    """
    import platformdirs

    try:
        return Path(platformdirs.user_state_dir("litellm-antigravity", appauthor=False))
    except RuntimeError:  # platformdirs from 4.11 on; before, it gave the folder as it stands here
        return Path("~/.local/state/litellm-antigravity")


def spell_path(path: Path) -> str:
    """Return an absolute path as people write it, the home folder shortened to ``~``."""
    try:
        absolute = path.absolute()
        return str(Path("~") / absolute.relative_to(Path.home()))
    except (OSError, RuntimeError, ValueError):  # no working folder, no home, or not below it
        return str(path)
