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
    lines = [line for series, samples in families for line in _lines(series, samples, openmetrics=openmetrics)]
    return "\n".join([*lines, "# EOF", ""] if openmetrics else [*lines, ""])


def _lines(series: Series, samples: Samples, *, openmetrics: bool) -> Iterator[str]:
    name = series.full_name if openmetrics else series.sample
    yield f"# HELP {name} {series.help}"
    yield f"# TYPE {name} {series.type}"
    if openmetrics and series.unit:
        yield f"# UNIT {name} {series.unit}"
    sample = series.sample
    for values, number in samples.items():
        labels = ",".join([f'{label}="{_fit(value)}"' for label, value in zip(series.labels, values, strict=True)])
        yield f"{sample}{{{labels}}} {_spelt(number)}" if labels else f"{sample} {_spelt(number)}"


def _fit(value: str) -> str:
    return value if value.isalnum() else value.translate(_ESCAPES)


def _spelt(number: float) -> str:
    if math.isfinite(number):
        return str(int(number)) if number == int(number) and abs(number) < 1e15 else repr(float(number))
    return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"


__all__ = ["OPENMETRICS", "PROMETHEUS", "Samples", "exposed"]
