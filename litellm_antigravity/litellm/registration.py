"""The entry points: ``register``, ``install``, and ``handler`` and ``hook`` for the proxy's YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litellm_antigravity.errors import AccountsFileError, AntigravityError
from litellm_antigravity.litellm import hosts, model_info, proxy_logs, proxy_routes, proxy_start
from litellm_antigravity.litellm.handler import AntigravityLLM
from litellm_antigravity.litellm.hook import AntigravityHook
from litellm_antigravity.litellm.routing.member import Member, find_account
from litellm_antigravity.litellm.seams import filters, functions, proxy
from litellm_antigravity.litellm.seams import router as routers
from litellm_antigravity.litellm.seams.requests import account_named, info_of
from litellm_antigravity.litellm.seams.table import warn_of_missing
from litellm_antigravity.masking import mask_email
from litellm_antigravity.settings import Settings
from litellm_antigravity.settings.costs import model_costs

handler = AntigravityLLM()
"""The provider. In the proxy's YAML: ``custom_handler: litellm_antigravity.handler``."""

hook = AntigravityHook(handler)
"""The hook. In the proxy's YAML: ``callbacks: [litellm_antigravity.hook]``."""

functions.install()
routers.install()
filters.install()
functions.add_provider(handler)  # the proxy does it too, but later; LiteLLM takes models of known providers only
model_info.register_models()


def register(settings: Settings | None = None) -> None:
    """Make ``litellm.completion(model="antigravity/<model>", ...)`` work; calling it again does no harm.

    Args:
        settings: read from environment and files when absent.

    Raises:
        SettingsError: when a setting is wrong; the message names it, its source and what is allowed.
        TypeError: when ``settings`` is something else; the message says how to write it.
    """
    warn_of_missing()
    settings = _checked(settings, "register") if settings is not None else Settings()
    costs = model_costs(settings.model_costs)
    hosts.use_litellms_clients(settings)
    handler.use(settings)
    functions.add_provider(handler)
    model_info.register_models(costs)


def _checked(settings: object, function: str) -> Settings:
    if isinstance(settings, Settings):
        return settings
    names = settings if isinstance(settings, Mapping) else ()
    given = ", ".join(f"{name}=..." for name in names if isinstance(name, str) and name.isidentifier())
    others = "" if function == "register" else "router, "
    msg = (
        f"{function}() takes Settings, not {type(settings).__name__}: "
        f"write litellm_antigravity.{function}({others}settings=litellm_antigravity.Settings({given}))."
    )
    raise TypeError(msg)


def install(router: Any, settings: Settings | None = None) -> None:
    """Route a `litellm.Router`'s pinned groups by our strategies, synchronously and asynchronously.

    Registers the provider, too. Deployments that name no account in ``model_info`` are left alone; calling it again
    does no harm.

    Args:
        router: the Router.
        settings: read from environment and files when absent, unless the provider is registered already.

    Raises:
        SettingsError: when a setting is wrong.
        AccountsFileError: when a deployment names an account that the accounts file does not have.
    """
    if settings is not None or not handler.is_configured:
        register(None if settings is None else _checked(settings, "install"))
    else:
        functions.add_provider(handler)
    check_accounts(routers.model_list(router), "the model list")
    routers.route(router, hook.narrow)
    functions.add_callback(hook)
    filters.put_first(hook)


def configure_from_proxy() -> None:
    """Take the settings from the proxy that is loading us, if one is; see `seams.proxy.proxy_config`.

    Raises:
        SettingsError: when ``antigravity_settings`` has a wrong key or value, or a model's name is the plugin's.
        AccountsFileError: when the model list has Antigravity deployments, but there are no accounts for them.
    """
    found = proxy.proxy_config()
    if found is None:
        return
    proxy.install(hook)
    warn_of_missing()
    proxy_logs.shorten()
    proxy_routes.add_routes(handler)
    try:
        _configure(*found)
    except AntigravityError as error:
        proxy_start.has_failed(str(error))
        raise
    proxy_start.has_not_failed()


def _configure(config: Mapping[str, Any], file: str) -> None:
    settings = hosts.with_redis_of(config, config.get("antigravity_settings"), f"antigravity_settings in {file}")
    hosts.use_litellms_clients(settings)
    handler.use(settings)
    model_list = config.get("model_list")
    model_list = model_list if isinstance(model_list, list) else []
    proxy_start.check_names(model_list, file)
    check_accounts(model_list, file)
    needed = bool(proxy_start.deployments_of_ours(model_list))
    proxy_start.say_what_will_be(settings, handler.dispatcher.pool.accounts.current().enabled if needed else None)


def check_accounts(model_list: Any, source: str) -> None:
    """Check that there is an account for every Antigravity deployment.

    Raises:
        AccountsFileError: when there is none; the message says what to do.
    """
    ours = proxy_start.deployments_of_ours(model_list)
    if not ours:
        return
    accounts = handler.dispatcher.pool.accounts.current()
    for deployment in ours:
        name = account_named(info_of(deployment))
        if name is not None and find_account(accounts.accounts, name) is None:
            known = ", ".join(account.label for account in accounts.accounts)
            msg = (
                f"{source}: deployment {deployment.get('model_name')!r} names the account {mask_email(name)!r} in "
                f"model_info, which is not in {accounts.path} (there: {known}). Correct it, or sign in with that one."
            )
            raise AccountsFileError(msg)


__all__ = ["Member", "check_accounts", "configure_from_proxy", "handler", "hook", "install", "register"]
