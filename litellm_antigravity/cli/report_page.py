"""A report as one page that needs nothing else: no script, and no request to anybody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from litellm_antigravity.cli import report_words as words
from litellm_antigravity.masking import shown
from litellm_antigravity.observability.reporting import Report, Served

_STYLE: Final = """
:root{color-scheme:light dark;--line:#8886;--bar:#2a78d6;--soft:#8882}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem}
h1{font-size:1.4rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td{white-space:nowrap}td:first-child,td:last-child:not(.n){white-space:normal;overflow-wrap:anywhere;min-width:7rem}
.share{background:linear-gradient(to right,var(--bar) var(--part),var(--soft) var(--part));
display:inline-block;width:3rem;height:.6rem;border-radius:3px;margin-right:.5rem}
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def page_of(told: Report) -> str:
    """Return the page."""
    made = words.spelled(told.now)
    body = "".join(_parts(told)) if told.first is not None else ""
    summary = f"<p>{_text(words.summed_up(told))}</p>" if told.first is not None else ""
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>litellm-antigravity report</title><style>{_STYLE}</style></head><body>"
        f"<h1>litellm-antigravity report, {_text(made)}</h1><p>{_text(words.span_of(told))}</p>{summary}{body}"
        "</body></html>\n"
    )


def _parts(told: Report) -> Iterable[str]:
    heads = ("account", "model", "#requests", "#answered", "refused", "#input", "cached", "#output", "#cost")
    yield _table("By account and model", heads, [_served(one) for one in told.served])
    yield _table("Refusals", ("class", "#how often"), [(_text(kind), str(n)) for kind, n in told.refusals.items()])
    waits = [(_text(words.reason(one)), _text(words.waited(one))) for one in told.waits]
    yield _table("Waits", ("why", "how long"), waits)
    processes = [
        (str(pid), str(sum(accounts.values())), _text(", ".join(f"{name} {n}" for name, n in accounts.items())))
        for pid, accounts in told.processes.items()
    ]
    yield _table("By process", ("process", "#requests", "accounts"), processes)


def _served(one: Served) -> tuple[str, ...]:
    share = one.cached_tokens / one.input_tokens if one.input_tokens else 0.0
    bar = f'<span class="share" style="--part:{share:.1%}"></span>' if one.input_tokens else ""
    return (
        _text(one.account),
        _text(one.model),
        str(one.requests),
        str(one.answered),
        _text(words.refused(one)),
        words.tokens(one.input_tokens),
        bar + _text(words.share(one.cached_tokens, one.input_tokens)),
        words.tokens(one.output_tokens),
        _text(words.cost(one)),
    )


def _table(title: str, heads: Sequence[str], table: Sequence[Sequence[str]]) -> str:
    """Return a table; a head that begins with ``#`` is of numbers. Cells are HTML."""
    if not table:
        return ""
    kinds = [' class="n"' if head.startswith("#") else "" for head in heads]
    head = "".join(
        f'<th scope="col"{kind}>{_text(one.lstrip("#"))}</th>' for one, kind in zip(heads, kinds, strict=True)
    )
    rows = (
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(cells, kinds, strict=True)) + "</tr>\n"
        for cells in table
    )
    return (
        f'<h2>{_text(title)}</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _text(text: str) -> str:
    """Return a text as HTML: names come from requests and from accounts files."""
    return escape(shown(text))


__all__ = ["page_of"]
