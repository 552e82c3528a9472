"""``litellm-antigravity reset``: forget what stands in the way, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from litellm_antigravity.cli.completing import complete_accounts, complete_pools

if TYPE_CHECKING:
    from litellm_antigravity.cli.reset_plan import ScoreChange, SlotPlan
    from litellm_antigravity.pool import AccountPool
    from litellm_antigravity.upkeep import CooldownPlan, Lift


@click.command()
@click.argument("accounts", metavar="[ACCOUNT]...", nargs=-1, shell_complete=complete_accounts)
@click.option("--all", "everyone", is_flag=True, help="All accounts.")
@click.option(
    "--pool",
    "quota_pool",
    metavar="NAME",
    shell_complete=complete_pools,
    help="Only this quota pool: claude, gemini, a model, or account (what benches an account as a whole).",
)
@click.option("--scores", is_flag=True, help="In place of cooldowns: health, tokens and failures in a row.")
@click.option("--slot", type=click.IntRange(0), metavar="N", help="In place of cooldowns: let slot N be claimed anew.")
@click.option("--force", is_flag=True, help="End what upstream said, too: quotas, bans, verifications.")
@click.option("--yes", "-y", is_flag=True, help="Ask no questions.")
def reset(
    accounts: tuple[str, ...],
    everyone: bool,
    quota_pool: str | None,
    scores: bool,
    slot: int | None,
    force: bool,
    yes: bool,
) -> None:
    """Lift cooldowns; or reset scores, or free a stuck slot.

    ACCOUNT is a number, an e-mail, a label or an unambiguous beginning. It shows what changes for every process on this
    machine, and asks first. What this package has inferred ends; what upstream said (a quota with its reset, a ban, a
    verification) stays in force unless --force is given: upstream will most likely say it again.
    """
    _check(accounts, everyone, quota_pool, scores, slot, force)
    with _pool() as pool:
        if slot is not None:
            _reset_slot(pool, slot, yes)
        elif scores:
            _reset_scores(pool, accounts, yes)
        else:
            _reset_cooldowns(pool, accounts, quota_pool, force, yes)


def _check(
    accounts: Sequence[str], everyone: bool, quota_pool: str | None, scores: bool, slot: int | None, force: bool
) -> None:
    problem = None
    if accounts and everyone:
        problem = "Either ACCOUNT or --all."
    elif slot is not None and (accounts or everyone or quota_pool or scores or force):
        problem = "--slot stands alone."
    elif scores and (quota_pool or force):
        problem = "Scores belong to an account, whatever the pool: --scores goes with ACCOUNT or --all."
    elif slot is None and not accounts and not everyone and (scores or not quota_pool):
        problem = "Which accounts? Name them, or give --all" + ("." if scores else ", --pool or --slot.")
    if problem:
        raise click.UsageError(problem)


@contextmanager
def _pool() -> Iterator[AccountPool]:
    from litellm_antigravity.pool import AccountPool

    pool = AccountPool()
    try:
        yield pool
    finally:
        pool.store.close()


def _reset_cooldowns(
    pool: AccountPool, accounts: Sequence[str], quota_pool: str | None, force: bool, yes: bool
) -> None:
    from litellm_antigravity.cli.durations import counted
    from litellm_antigravity.cli.reset_plan import meant, pool_named
    from litellm_antigravity.upkeep import end_cooldowns, plan_cooldowns

    plan = plan_cooldowns(pool, meant(pool, accounts), pool_named(quota_pool), force=force)
    _show_cooldowns(pool, plan)
    if not plan.ends:
        click.echo("Nothing to lift.")
        return
    _confirm(yes)
    end_cooldowns(pool, plan.ends)
    click.echo(f"Lifted {counted(len(plan.ends), 'cooldown')}.")


def _show_cooldowns(pool: AccountPool, plan: CooldownPlan) -> None:
    now = pool.clock.time()
    if plan.ends:
        _table("To be lifted, for every process on this machine:", [_cells(one, now) for one in plan.ends])
    if plan.facts:
        said = "Upstream said so, so it stays (--force lifts it, until upstream says it again):"
        _table(said, [_cells(one, now) for one in plan.facts])
    if plan.in_file:
        from litellm_antigravity.cli.choosing import name_of

        rows = [[name_of(account), _spelled(name), reason] for account, name, reason in plan.in_file]
        _table("The accounts file says so, so it stays:", rows)


def _cells(lift: Lift, now: float) -> list[str]:
    from litellm_antigravity.cli.choosing import name_of
    from litellm_antigravity.cli.status_view import time_left

    cooldown = lift.cooldown
    return [name_of(lift.account), _spelled(cooldown.pool), time_left(cooldown.remaining(now)), cooldown.reason]


def _spelled(quota_pool: str) -> str:
    return "all models" if quota_pool == "*" else quota_pool.removeprefix("model:")


def _reset_scores(pool: AccountPool, accounts: Sequence[str], yes: bool) -> None:
    from litellm_antigravity.cli.durations import counted
    from litellm_antigravity.cli.reset_plan import plan_scores, reset_scores

    changes = plan_scores(pool, accounts)
    if not changes:
        click.echo("Nothing to reset: the scores are those of unused accounts.")
        return
    _table("Scores, for every process on this machine:", [_score_cells(one) for one in changes])
    _confirm(yes)
    _change(pool, lambda: reset_scores(pool, changes))
    click.echo(f"Reset the scores of {counted(len(changes), 'account')}.")


def _score_cells(change: ScoreChange) -> list[str]:
    from litellm_antigravity.cli.choosing import name_of

    health, tokens, failures = change.health, change.tokens, change.before.failures.values()
    return [
        name_of(change.account),
        f"health {health[0]:.0f} -> {health[1]:.0f}",
        f"tokens {tokens[0]:.0f} -> {tokens[1]:.0f}",
        f"failures in a row {sum(one.count for one in failures)} -> 0",
    ]


def _reset_slot(pool: AccountPool, number: int, yes: bool) -> None:
    from litellm_antigravity.cli.reset_plan import plan_slot

    plan = plan_slot(pool, number)
    _paragraph(_slot_story(plan))
    _confirm(yes)
    _change(pool, lambda: pool.store.free_slot(number))
    click.echo(f"Slot {number} is free.")


def _slot_story(plan: SlotPlan) -> str:
    claimed = f"Slot {plan.number} was claimed by process {plan.pid}"
    if plan.process is None:
        return f"{claimed}, which has not announced itself or is gone. The next process to ask for a slot gets it."
    return (
        f"{claimed}, which is alive and goes on with its account. The next process to ask for a slot gets "
        f"{plan.number} too, and begins with the same account."
    )


def _paragraph(text: str, style: str = "") -> None:
    from rich.text import Text

    from litellm_antigravity.cli.consoles import new_console
    from litellm_antigravity.cli.layout import flow, show

    console = new_console()
    show(console, flow(Text(text, style), console.width))


def _table(heading: str, table: list[list[str]]) -> None:
    from rich.text import Text

    from litellm_antigravity.cli.consoles import new_console, printable
    from litellm_antigravity.cli.layout import rows, show

    _paragraph(heading, "bold")
    console = new_console()
    for lines in rows([[Text(printable(cell)) for cell in cells] for cells in table], console.width, indent=2):
        show(console, lines)


def _confirm(yes: bool) -> None:
    from litellm_antigravity.cli.asking import confirm

    if not yes and not confirm("Go on?"):
        click.echo("Nothing was changed.")
        raise click.exceptions.Exit(1)


def _change(pool: AccountPool, change: Callable[[], None]) -> None:
    from litellm_antigravity.upkeep import check_written

    change()
    check_written(pool)
