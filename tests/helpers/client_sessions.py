"""How clients name their sessions: fields of Claude Code 2.1.197, Codex 0.171.0, OpenCode 1.18.33 and pi."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]
SESSION = "f339ee7b-692c-42cf-96cb-e85d653cf4b8"
THREAD = "01a218a9-b62c-7c91-b1a1-dad675005ab2"


def claude_code(session: str = SESSION, *, version: str = "2.1.197", **more: str) -> Json:
    return {
        "user-agent": f"claude-cli/{version} (external, sdk-cli)",
        "X-Claude-Code-Session-Id": session,
        "X-Stainless-Retry-Count": "0",
        **more,
    }


USER = {"user_id": json.dumps({"device_id": "463cc022", "account_uuid": "", "session_id": SESSION})}
OLD_USER = {"user_id": f"user_{'0' * 64}_account__session_{SESSION}"}


def codex(thread: str = THREAD, session: str = THREAD) -> Json:
    return {
        "user-agent": "codex_exec/0.171.0 (Debian 12.0.0; x86_64) unknown (codex_exec; 0.171.0)",
        "session-id": session,
        "thread-id": thread,
        "x-client-request-id": thread,
        "x-codex-window-id": f"{thread}:0",
    }


def opencode(session: str = "ses_de7560e80ffewJevnp0v2IvoM9") -> Json:
    return {"x-session-affinity": session, "x-session-id": session}


def pi(session: str) -> Json:
    return {"session_id": session, "x-client-request-id": session, "x-session-affinity": session}
