"""A program that says, as JSON, whether this package and the installed LiteLLM fit together: for ``doctor``.

A process of its own, since importing LiteLLM takes seconds, and may fail.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import sys


def main() -> None:
    """Import LiteLLM and our seams; print which of them LiteLLM lacks, or why they cannot be imported."""
    found: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()):  # what libraries print is no answer
        try:
            with contextlib.suppress(ImportError):  # not everybody has the proxy
                importlib.import_module("litellm.proxy.proxy_server")
            importlib.import_module("litellm_antigravity.litellm.registration")
            table = importlib.import_module("litellm_antigravity.litellm.seams.table")
        except Exception as error:  # noqa: BLE001 - whatever keeps us from working is the answer
            found["error"] = f"{type(error).__name__}: {error}"
        else:
            found["missing"] = [table.about_missing(seam) for seam in table.missing().values()]
            found["count"] = len(table.SEAMS)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
