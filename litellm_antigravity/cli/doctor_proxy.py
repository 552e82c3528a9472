"""``doctor``: a proxy's YAML, if one is named: whether it loads this package and names models as we do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from litellm_antigravity.cli.doctor_report import Finding
from litellm_antigravity.cli.proxy_block import read_document
from litellm_antigravity.models import PROVIDER, plugins_name

_CHECK = "proxy file"
_PROVIDER_LINE = "custom_provider_map: [{provider: antigravity, custom_handler: litellm_antigravity.handler}]"
_HOOK_LINE = "callbacks: [litellm_antigravity.hook]"


def check_proxy_file(config: Path) -> Iterator[Finding]:
    """Yield what the file lacks, and which models it names as OpenCode's plugin does.

    Raises:
        SettingsError: when the file cannot be read.
    """
    document = read_document(config)
    deployments = [one for one in _listed(document.get("model_list")) if isinstance(one, Mapping)]
    models = [str((one.get("litellm_params") or {}).get("model") or "") for one in deployments]
    litellm = document.get("litellm_settings")
    settings: Mapping[str, Any] = litellm if isinstance(litellm, Mapping) else {}
    problems = [*_lines_missing(settings, is_ours=any(one.startswith(f"{PROVIDER}/") for one in models))]
    problems += [
        (f"The model {model!r} is named as opencode-antigravity-auth does.", f"Write {meant}.")
        for model in models
        if (meant := plugins_name(model)) is not None
    ]
    if not problems:
        yield Finding(_CHECK, "ok", f"{config} loads this package.")
    for says, remedy in problems:
        yield Finding(_CHECK, "failed", says, remedy)


def _lines_missing(settings: Mapping[str, Any], *, is_ours: bool) -> Iterator[tuple[str, str]]:
    handlers = [
        one.get("custom_handler")
        for one in _listed(settings.get("custom_provider_map"))
        if isinstance(one, Mapping) and one.get("provider") == PROVIDER
    ]
    where = "Put under litellm_settings:"
    if is_ours and "litellm_antigravity.handler" not in handlers:
        yield "Nothing serves its antigravity/... models.", f"{where} {_PROVIDER_LINE}"
    callbacks = settings.get("callbacks")
    if isinstance(callbacks, str):  # LiteLLM forgets all other callbacks then
        yield "callbacks is a text, which replaces all others.", f"Write a list: {_HOOK_LINE}"
    elif "litellm_antigravity.hook" not in _listed(callbacks):
        yield "The hook is not loaded: accounts in model_info choose nothing.", f"{where} {_HOOK_LINE}"


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
