"""``litellm-antigravity config``: which settings hold here, and a proxy's configuration for the accounts there are."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def config() -> None:
    """See which settings hold; write a proxy's YAML."""


@config.command()
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="A proxy's YAML, whose antigravity_settings come first.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(file: Path | None, as_json: bool) -> None:
    """Show every setting, its value here, and where it comes from. Secrets are not shown."""
    from litellm_antigravity.cli.proxy_block import read_block
    from litellm_antigravity.settings.effective import effective_settings

    _, effective = effective_settings(*read_block(file))
    if as_json:
        import json

        click.echo(json.dumps([one._asdict() for one in effective], indent=2))
        return
    from litellm_antigravity.cli.config_view import show_settings
    from litellm_antigravity.cli.consoles import new_console

    show_settings(new_console(), effective)


@config.command()
@click.option("--pool", "shape", flag_value="pool", default=True, help="One deployment for all accounts.  [default]")
@click.option("--pinned", "shape", flag_value="pinned", help="One deployment for each account.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="A model to serve, as in `litellm-antigravity models`; may be repeated.  [default: one of each family]",
)
def proxy(shape: str, models: tuple[str, ...]) -> None:
    """Write the YAML of a proxy for the accounts there are, to standard output.

    For example: litellm-antigravity config proxy > config.yaml && litellm --config config.yaml
    """
    from litellm_antigravity.accounts import AccountsFile
    from litellm_antigravity.cli.proxy_yaml import DEFAULT_MODELS, pinned_yaml, pool_yaml
    from litellm_antigravity.models import PROVIDER, canonical_model, plugins_name, problem_with_name
    from litellm_antigravity.settings import Settings

    settings = Settings()
    accounts = AccountsFile(settings.accounts_file).load().enabled
    for name in models:
        if (problem := problem_with_name(name)) is not None:
            raise click.BadParameter(f"it {problem}", param_hint="--model")
    known = [canonical_model((plugins_name(name) or name).removeprefix(f"{PROVIDER}/")) for name in models]
    write = pinned_yaml if shape == "pinned" else pool_yaml
    click.echo(write(accounts, tuple(dict.fromkeys(known)) or DEFAULT_MODELS, settings), nl=False)
