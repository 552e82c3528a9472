"""A callback for a proxy under test: has the proxy load things anew in the ways that it does, when a request says so.

Copied beside the proxy's YAML file. LiteLLM does these things when it starts, when somebody uses its admin routes, and
every few seconds if it keeps models in a database; no database is at hand here, so its own functions are called.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import litellm
from fastapi import HTTPException
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy import proxy_server

from litellm_antigravity.litellm.registration import handler, hook
from litellm_antigravity.litellm.seams.router import model_list

TELLS = 418


class Reloads(CustomLogger):  # type: ignore[misc]  # LiteLLM's types are not followed
    async def async_pre_call_hook(self, data: dict[str, Any], **_: object) -> None:
        """Reload and tell what there is then, if the request's metadata name a way."""
        way = (data.get("metadata") or {}).get("reload")
        if way is not None:
            await _reload(way, data["metadata"].get("account"))
            raise HTTPException(TELLS, detail=json.dumps(_facts()))


async def _reload(way: str, account: str | None) -> None:
    if way == "configuration":  # as when it starts
        loaded = await proxy_server.proxy_config.load_config(
            router=proxy_server.llm_router, config_file_path=proxy_server.user_config_file_path
        )
        proxy_server.llm_router, proxy_server.llm_model_list, proxy_server.general_settings = loaded
    elif way == "database":  # as every few seconds, and after each of /config/update, /model/new, /model/delete, ...
        rows = [] if account is None else [_row(account)]
        await proxy_server.proxy_config._update_llm_router(
            new_models=rows, proxy_logging_obj=proxy_server.proxy_logging_obj
        )
    elif way == "router settings":  # as with those of the database
        proxy_server.llm_router.update_settings(num_retries=3, routing_strategy="least-busy")
    elif way == "model list":
        config = proxy_server.proxy_config.get_config_state()
        proxy_server.llm_router.set_model_list(config["model_list"])


def _row(account: str) -> SimpleNamespace:
    """Return what /model/new leaves in the database for a pinned deployment."""
    params = {"model": "antigravity/claude-sonnet-4-6"}
    info = {"account": account}
    return SimpleNamespace(model_id="from-database", model_name="pinned", litellm_params=params, model_info=info)


def _facts() -> dict[str, Any]:
    return {
        "hooks": sum(one is hook for one in litellm.callbacks),
        "providers": [one["custom_handler"] is handler for one in litellm.custom_provider_map],
        "dispatcher": id(handler.dispatcher),
        "pools": {name: id(group.pool) for name, group in handler.routing._groups.items()},
        "ids": [one["model_info"]["id"] for one in model_list(proxy_server.llm_router)],
    }


reloads = Reloads()
