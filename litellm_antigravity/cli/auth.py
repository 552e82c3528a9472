"""``litellm-antigravity auth``: the accounts, from saved to removed."""

from __future__ import annotations

import click

from litellm_antigravity.cli.auth_list import list_accounts
from litellm_antigravity.cli.auth_switch import disable, enable, remove, retry
from litellm_antigravity.cli.auth_transfer import export_accounts, import_accounts
from litellm_antigravity.cli.auth_verify import verify


@click.group()
def auth() -> None:
    """See and change which accounts there are.

    An ACCOUNT is its number in `auth list`, its e-mail, its label, or the beginning of one of them.
    """


for _command in (list_accounts, verify, enable, disable, retry, remove, import_accounts, export_accounts):
    auth.add_command(_command)
