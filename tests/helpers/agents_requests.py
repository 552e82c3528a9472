"""What coding agents send, recorded from them: shortened, with every parameter, header and kind of block kept."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

EPHEMERAL = {"cache_control": {"type": "ephemeral"}}
COMMAND: Json = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "command": {"description": "The command to execute", "type": "string"},
        "timeout": {"description": "Optional timeout in milliseconds (max 600000)", "type": "number"},
        "run_in_background": {"type": "boolean"},
    },
    "required": ["command"],
    "additionalProperties": False,
}

CLAUDE_CODE: Json = {
    "system": [
        {"type": "text", "text": "You are a Claude agent, built on Anthropic's Claude Agent SDK.", **EPHEMERAL},
        {"type": "text", "text": "You are an interactive agent that helps users.", **EPHEMERAL},
    ],
    "tools": [
        {"name": "Bash", "description": "Executes a given bash command.", "input_schema": COMMAND},
        {
            "name": "mcp__github__create_issue",
            "description": "Opens an issue.",
            "input_schema": {
                "type": "object",
                "properties": {"body": {}, "labels": {"type": "array"}},
                "anyOf": [{"required": ["body"]}, {"required": ["labels"]}],
            },
        },
    ],
    "metadata": {"user_id": '{"device_id":"463cc022","account_uuid":"","session_id":"7ed91970"}'},
    "max_tokens": 32_000,
    "thinking": {"type": "adaptive"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high"},
    "stream": True,
}
CLAUDE_CODES_HEADERS = {
    "anthropic_beta": "claude-code-20250219,interleaved-thinking-2025-05-14,thinking-token-count-2026-05-13,"
    "context-management-2025-06-27,prompt-caching-scope-2026-01-05,effort-2025-11-24",
    "anthropic_version": "2023-06-01",
    "anthropic_dangerous_direct_browser_access": "true",
    "user_agent": "claude-cli/2.1.197 (external, sdk-cli)",
    "x_app": "cli",
    "X_Claude_Code_Session_Id": "7ed91970-0851-49ab-bc72-5ee3849284bc",
    "X_Stainless_Lang": "js",
}
CODEX: Json = {
    "stream": True,
    "tools": [
        {
            "type": "function",
            "name": "exec_command",
            "description": "Runs a command in a PTY.",
            "strict": False,
            "parameters": {
                "type": "object",
                "properties": {"cmd": {"type": "string"}, "max_output_tokens": {"type": "number"}},
                "required": ["cmd"],
                "additionalProperties": False,
            },
        },
        {
            "type": "namespace",
            "name": "multi_agent_v1",
            "description": "Tools for sub-agents.",
            "tools": [
                {
                    "type": "function",
                    "name": "close_agent",
                    "description": "Close an agent.",
                    "strict": False,
                    "parameters": {"type": "object", "properties": {"target": {"type": "string"}}},
                }
            ],
        },
        {"type": "web_search", "external_web_access": True},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "01a218a9-b62c-7c91-b1a1-dad675005ab2",
    "client_metadata": {"thread_id": "01a218a9-b62c-7c91-b1a1-dad675005ab2", "x-codex-window-id": "01a218a9:0"},
}
CHAT: Json = {
    "max_tokens": 32_000,
    "stream": True,
    "stream_options": {"include_usage": True},
    "tool_choice": "auto",
    "tools": [
        {"type": "function", "function": {"name": "bash", "description": "Runs a command.", "parameters": COMMAND}},
        {"type": "function", "function": {"name": "todoread", "description": "Reads the list.", "parameters": {}}},
    ],
}
