"""``litellm-antigravity metrics``: the series of this machine, for a text-file collector."""

from __future__ import annotations

import click


@click.command()
@click.option("--openmetrics", is_flag=True, help="In OpenMetrics' format rather than Prometheus' older one.")
def metrics(openmetrics: bool) -> None:
    """Print what all processes have counted, for Prometheus.

    And the state of the accounts, as text: for node_exporter's text-file collector, and to look at. A LiteLLM proxy
    serves the same at /antigravity/metrics. Nothing is changed, and nobody is asked. E-mail addresses are masked.
    """
    from litellm_antigravity.cli.status_facts import pool_to_look_at
    from litellm_antigravity.observability.collecting import Collector
    from litellm_antigravity.observability.counts import Counts
    from litellm_antigravity.observability.exposition import exposed
    from litellm_antigravity.observability.known import KnownAccounts
    from litellm_antigravity.settings import Settings

    pool = pool_to_look_at(Settings())
    try:
        known = KnownAccounts(pool.accounts.current().accounts)
        counts = Counts(pool.settings.state_dir)
        collector = Collector(lambda: known, pool.store, counts, pool.rules, pool.clock.time, tidy=False)
        click.echo(exposed(collector.collect(), openmetrics=openmetrics), nl=False)
    finally:
        pool.store.close()
