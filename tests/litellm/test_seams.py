"""A LiteLLM that lacks one of the private names that we use: what needs it says so, and nothing else breaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from serving import fields_of
from support import run_python

from litellm_antigravity.litellm.seams.table import SEAMS, find, missing
from litellm_antigravity.simulator import Simulator

PROGRAM = """
import importlib, json, logging, sys
import litellm
from support import answer

module, _, path = sys.argv[1].partition(":")
*owners, name = path.split(".")
holder = importlib.import_module(module)
for owner in owners:
    holder = getattr(holder, owner)
delattr(holder, name)

import litellm_antigravity
from litellm_antigravity import Settings

lines = []
handler = logging.Handler()
handler.emit = lambda record: lines.append(record.getMessage())
logging.getLogger("litellm_antigravity").addHandler(handler)
for _ in range(2):
    litellm_antigravity.register(Settings(**json.loads(sys.argv[2])))

def outcome(content="Hello", **more):
    messages = [{"role": "user", "content": content}]
    try:
        reply = litellm.completion(model="antigravity/gemini-3-flash", messages=messages, **more)
        for _ in reply if more else ():
            pass
    except Exception as error:
        return str(error)
    return "answered"

image = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
answer({
    "plain": outcome(),
    "streamed": outcome(stream=True),
    "image": outcome(image),
    "lines": [line for line in lines if " has no " in line],
})
"""


def tried_without(place: str, simulator: Simulator, folder: Path) -> dict[str, Any]:
    """Return how requests end in a process whose LiteLLM lacks a name, and what is logged about it."""
    found: dict[str, Any] = run_python(PROGRAM, place, json.dumps(fields_of(simulator, folder)))
    return found


@pytest.mark.parametrize("name", sorted(name for name, seam in SEAMS.items() if seam.within is None))
def test_this_release_has_every_name_of_the_table(name: str) -> None:
    assert find(name) is not None
    assert name not in missing()


def test_without_what_fetches_addresses_texts_are_answered_and_images_refused(
    antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    """Before, the import failed: no request to anything of ours was served."""
    found = tried_without("litellm.litellm_core_utils.url_utils:safe_get", antigravity_simulator, tmp_path)
    assert (found["plain"], found["streamed"]) == ("answered", "answered")
    assert "has no litellm.litellm_core_utils.url_utils.safe_get" in found["image"]
    [line] = found["lines"]
    assert "Images and files that a request names by address are refused. Everything else works." in line


def test_without_the_reader_of_chunks_whole_replies_are_answered_and_streams_refused(
    antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    place = "litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini:ModelResponseIterator"
    found = tried_without(place, antigravity_simulator, tmp_path)
    assert found["plain"] == "answered"
    assert "has no litellm.llms.vertex_ai" in found["streamed"]
    assert "a newer litellm-antigravity may know this one" in found["streamed"]
    assert len(found["lines"]) == 1


def test_without_a_constant_its_default_does(antigravity_simulator: Simulator, tmp_path: Path) -> None:
    found = tried_without("litellm.constants:MAX_IMAGE_URL_DOWNLOAD_SIZE_MB", antigravity_simulator, tmp_path)
    assert (found["plain"], found["streamed"]) == ("answered", "answered")
    assert "has no" not in found["image"]
    assert "Fetched files may have 50 MB." in found["lines"][0]
