"""The control endpoint: whoever has the token steers a simulator over HTTP, on loopback. No I/O.

A page in a browser can reach loopback too, and by DNS rebinding under a name of its own. So a request has to show the
token, to name the host as loopback is named, and not to come from a page.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any, Final

from litellm_antigravity.simulator.answers import Answer
from litellm_antigravity.simulator.incoming import Incoming
from litellm_antigravity.simulator.scripts.reading import (
    MAX_BYTES,
    actions_of,
    ready_script,
    ready_scripts,
    script_of,
)

if TYPE_CHECKING:
    from litellm_antigravity.simulator.steering import Steering

CONTROL_PATH: Final = "/control"

_HOST: Final = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?", re.IGNORECASE)
_FROM_A_PAGE: Final = ("origin", "sec-fetch-site", "referer")
_READY: Final = f"{CONTROL_PATH}/script/"


def is_control(path: str) -> bool:
    """Return whether a path is the control endpoint's."""
    return path == CONTROL_PATH or path.startswith(f"{CONTROL_PATH}/")


class Control:
    """Answers the requests under ``/control``; docs/simulator.md lists them.

    Args:
        simulator: what is steered.

    Attributes:
        token: what a request has to show.
    """

    def __init__(self, simulator: Steering) -> None:
        self._simulator = simulator
        self.token = secrets.token_urlsafe(24)

    def receive(self, incoming: Incoming) -> Answer:
        """Answer a request; may read a ready script."""
        refused = self._refused(incoming)
        if refused is not None:
            return refused
        try:
            return self._answer(incoming)
        except ValueError as error:  # a wrong script, no such account
            return _problem(400, *str(error).splitlines())

    def _refused(self, incoming: Incoming) -> Answer | None:
        if not _HOST.fullmatch(incoming.headers.get("host", "")):
            return _problem(403, "The host has to be 127.0.0.1 or localhost.")
        if any(name in incoming.headers for name in _FROM_A_PAGE):
            return _problem(403, "No page in a browser may steer the simulator.")
        scheme, _, shown = incoming.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secrets.compare_digest(shown.strip().encode(), self.token.encode()):
            said = "The token is missing or wrong: send the one that the simulator printed, as Authorization: Bearer."
            return _problem(401, said, headers={"www-authenticate": "Bearer"})
        if len(incoming.body) > MAX_BYTES:
            return _problem(413, f"The body may have {MAX_BYTES:,} bytes.")
        return None

    def _answer(self, incoming: Incoming) -> Answer:
        asked = (incoming.method, incoming.path.rstrip("/"))
        if asked == ("GET", CONTROL_PATH):
            return _done(self._state())
        if asked == ("POST", f"{CONTROL_PATH}/actions"):
            actions = actions_of(incoming.body, "the body")
            self._simulator.perform(*actions)
            return _done({"done": len(actions)})
        if asked == ("PUT", f"{CONTROL_PATH}/script"):
            script = script_of(incoming.body, "the body")
        elif incoming.method == "PUT" and incoming.path.startswith(_READY):
            script = ready_script(incoming.path.removeprefix(_READY))
        elif asked == ("DELETE", f"{CONTROL_PATH}/script"):
            self._simulator.play(None)
            return _done({"script": None})
        else:
            return _problem(404, "There is nothing at this path for this method; see docs/simulator.md.")
        self._simulator.play(script)
        return _done({"script": script.about})

    def _state(self) -> dict[str, Any]:
        simulator, director = self._simulator, self._simulator.director
        return {
            "script": None
            if director is None
            else {
                "about": director.script.about,
                "requests": director.requests,
                "events_to_come": director.events_to_come,
            },
            "ready_scripts": {name: script.about for name, script in ready_scripts().items()},
            "accounts": [{"email": email, "quota_left": left} for email, left in simulator.quota_left().items()],
            "refusals": simulator.refusals,
        }


def _done(value: Any) -> Answer:
    return Answer.of_json("control", 200, value)


def _problem(status: int, *problems: str, headers: dict[str, str] | None = None) -> Answer:
    return Answer.of_json("control", status, {"problems": list(problems)}, headers)


__all__ = ["CONTROL_PATH", "Control", "is_control"]
