"""``litellm-antigravity auth import | export``: accounts from elsewhere, and to elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from litellm_antigravity.cli.completing import complete_accounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from litellm_antigravity.accounts import AccountsFile, AccountsSnapshot
    from litellm_antigravity.accounts.transfer import Step

_STDIN = "-"

_IMPORT_EPILOG = """\
\b
Examples:
  litellm-antigravity auth import ~/.config/gcloud/application_default_credentials.json
  litellm-antigravity auth import backup.json --yes
  ssh other litellm-antigravity auth export --secrets | litellm-antigravity auth import - --yes
"""
_EXPORT_EPILOG = """\
\b
Examples:
  litellm-antigravity auth export
  litellm-antigravity auth export user1@gmail.com --secrets --output backup.json
"""


@click.command("import", epilog=_IMPORT_EPILOG)
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--yes", "-y", is_flag=True, help="Ask no questions.")
def import_accounts(source: Path, yes: bool) -> None:
    """Add the accounts of another accounts file, or of gcloud's JSON.

    Shows what will change and asks. An account that is saved already gets the credential of FILE. With - for FILE the
    accounts come from standard input; without --yes nothing is changed then.
    """
    from litellm_antigravity.accounts.transfer import plan
    from litellm_antigravity.cli.asking import confirm
    from litellm_antigravity.clock import SystemClock

    target, saved = _target()
    steps = plan(_entries(source), saved, SystemClock().time())
    _show(steps)
    changes = [step for step in steps if step.change in ("add", "replace")]
    if not changes:
        click.echo("There is nothing to change.")
        return
    if not yes:
        if str(source) == _STDIN:
            msg = "Nothing was changed: standard input cannot answer a question, too. Say --yes to go on."
            raise click.ClickException(msg)
        if not confirm(f"Import {len(changes)} account(s) into {target.path}?"):
            click.echo("Nothing was changed.")
            raise click.exceptions.Exit(1)
    for step in changes:
        target.add(step.entry)
    click.echo(f"{len(changes)} account(s) imported.")


@click.command("export", epilog=_EXPORT_EPILOG)
@click.argument("accounts", metavar="[ACCOUNT...]", nargs=-1, shell_complete=complete_accounts)
@click.option("--secrets", is_flag=True, help="With tokens and clients' secrets: whoever has them has the accounts.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="A new file, readable for you alone."
)
def export_accounts(accounts: tuple[str, ...], secrets: bool, output: Path | None) -> None:
    """Print accounts as an accounts file, all or those named.

    Without --secrets it is for reading only: secrets are masked. With them it can be imported elsewhere.
    """
    from litellm_antigravity.accounts import AccountsFile
    from litellm_antigravity.accounts.transfer import as_text, exported
    from litellm_antigravity.settings import Settings

    source = AccountsFile(Settings().accounts_file)
    text = as_text(exported(_saved_entries(source, accounts), secrets=secrets))
    if output is None:
        click.echo(text, nl=False)
        if secrets and sys.stdout.isatty():
            click.echo("These are secrets: whoever has them has the accounts.", err=True)
        return
    _write_new(output, text)
    click.echo(f"Written to {output}{', with secrets: keep it as you keep a password' if secrets else ''}.", err=True)


def _target() -> tuple[AccountsFile, AccountsSnapshot]:
    from litellm_antigravity.accounts import AccountsFile
    from litellm_antigravity.settings import Settings

    target = AccountsFile(Settings().accounts_file)
    return target, target.load(may_be_empty=True)


def _entries(source: Path) -> list[dict[str, object]]:
    from litellm_antigravity.accounts.transfer import entries_at

    return _entries_of_stdin() if str(source) == _STDIN else entries_at(source.expanduser())


def _entries_of_stdin() -> list[dict[str, object]]:
    """Return the entries that come in; errors speak of no file, and of no remedy for one.

    Raises:
        click.ClickException: when nothing comes, or no accounts.
    """
    from litellm_antigravity.accounts.parsing import REPAIR
    from litellm_antigravity.accounts.reading import MAX_BYTES
    from litellm_antigravity.accounts.transfer import entries_in
    from litellm_antigravity.errors import AccountsFileError

    raw = sys.stdin.buffer.read(MAX_BYTES + 1)
    if not raw.strip():
        msg = "Nothing came in on standard input. The command whose output that is says why."
        raise click.ClickException(msg)
    origin = Path("Standard input")
    try:
        return entries_in(raw, origin)
    except AccountsFileError as error:
        said = str(error).removeprefix("Accounts file ").removesuffix(f" {REPAIR}").replace(f"'{origin}'", "FILE")
    raise click.ClickException(said)


def _show(steps: Sequence[Step]) -> None:
    from litellm_antigravity.cli.choosing import name_of
    from litellm_antigravity.cli.prose import on_screen
    from litellm_antigravity.masking import shown

    said = {"add": "add", "replace": "new credential for", "keep": "saved already:", "skip": "skip"}
    for number, step in enumerate(steps, 1):
        name = f"entry {number}" if step.account is None else name_of(step.account)
        why = f": {shown(step.problem)}" if step.problem else ""
        click.echo(on_screen(f"  {said[step.change]} {name}{why}", hang=4))


def _saved_entries(source: AccountsFile, words: tuple[str, ...]) -> list[dict[str, object]]:
    """Return the entries of the accounts that are meant, as they are in force."""
    from litellm_antigravity.accounts.parsing import parse_entry
    from litellm_antigravity.accounts.reading import read_file
    from litellm_antigravity.accounts.transfer import entries_at, entries_in
    from litellm_antigravity.cli.choosing import chosen

    snapshot = source.load()
    wanted = chosen(snapshot, words) if words else snapshot.accounts
    if read_file(source.path) is not None:
        entries = entries_at(source.path)
    else:
        companion = read_file(source.companion)
        entries = [] if companion is None else entries_in(companion.raw, source.companion)
    found: dict[tuple[str, str], dict[str, object]] = {}
    for entry in entries:
        account, _ = parse_entry(entry, source.path.parent, 0.0)
        if account is not None:
            found[account.id, account.credential.fingerprint] = entry
    keys = [(account.id, account.credential.fingerprint) for account in wanted]
    return [found[key] for key in keys if key in found]


def _write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet, with mode 0600.

    Raises:
        click.ClickException: when it is there, or cannot be written.
    """
    import os

    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    problem = None
    try:
        with open(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - because of the mode
            file.write(text)
    except OSError as error:
        problem = error.strerror
    if problem is not None:
        msg = f"{path} cannot be written: {problem}. It has to be a new file."
        raise click.ClickException(msg)
