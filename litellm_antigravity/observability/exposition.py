"""Series and their numbers as text: OpenMetrics 1.0, or the older format of Prometheus, for text-file collectors.

Written here rather than by prometheus_client: that is 60 lines of format against a dependency, and it takes several
times as long for the 10,000 numbers of 1000 accounts. Tests read what is written with prometheus_client's own parsers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from litellm_antigravity.observability.series import Series

Samples: TypeAlias = Mapping[tuple[str, ...], float]

OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def exposed(families: Iterable[tuple[Series, Samples]], *, openmetrics: bool) -> str:
    """Return the text for numbers.

    Args:
        families: each series with its numbers by labels; one without numbers is told of all the same.
        openmetrics: in the newer format.
    """
    lines: list[str] = []
    fit = _Fit()
    for series, samples in families:
        lines += _lines(series, samples, fit, openmetrics=openmetrics)
    return "\n".join([*lines, "# EOF", ""] if openmetrics else [*lines, ""])


class _Fit(dict[str, str]):
    """What label values are written as: each comes many times, so that it is made once."""

    def __missing__(self, value: str) -> str:
        self[value] = fit = value.translate(_ESCAPES)
        return fit


def _lines(series: Series, samples: Samples, fit: _Fit, *, openmetrics: bool) -> Iterator[str]:
    name = series.full_name if openmetrics else series.sample
    yield f"# HELP {name} {series.help}"
    yield f"# TYPE {name} {series.type}"
    if openmetrics and series.unit:
        yield f"# UNIT {name} {series.unit}"
    sample = series.sample
    for values, number in samples.items():
        labels = ",".join([f'{label}="{fit[value]}"' for label, value in zip(series.labels, values, strict=True)])
        yield f"{sample}{{{labels}}} {_spelt(number)}" if labels else f"{sample} {_spelt(number)}"


def _spelt(number: float) -> str:
    if -1e15 < number < 1e15:
        return str(int(number)) if number.is_integer() else repr(number)
    if math.isfinite(number):
        return repr(number)
    return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"


__all__ = ["OPENMETRICS", "PROMETHEUS", "Samples", "exposed"]
