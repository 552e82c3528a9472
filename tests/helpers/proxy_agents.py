"""A proxy with agents before it and a simulator behind it, whose model thinks, signs and calls tools."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import openai
from proxy import Proxy, use_accounts

from litellm_antigravity.simulator import Served, Simulator

CLAUDE, GEMINI = "claude-sonnet-4-6", "gemini-3-flash"
ACCOUNTS = 6
QUESTION = "How is the sky?"

CONFIG = f"""
model_list:
  - model_name: {CLAUDE}
    litellm_params: {{model: antigravity/{CLAUDE}}}
  - model_name: {GEMINI}
    litellm_params: {{model: antigravity/{GEMINI}}}
litellm_settings:
  custom_provider_map:
    - {{provider: antigravity, custom_handler: litellm_antigravity.handler}}
  callbacks: [litellm_antigravity.hook]
antigravity_settings:
  account_selection_strategy: round-robin
"""

Json = dict[str, Any]


class Model:
    """What the simulated model says: it thinks, signs its thoughts and calls tools, until it has had enough.

    Claude signs a thought, and Gemini the first call after one. No signature and no id comes twice.

    Attributes:
        said: the parts of every turn.
    """

    _numbers = itertools.count(1)

    def __init__(self, name: str, turns: int) -> None:
        self._claude = name == CLAUDE
        self._turns = turns
        self.said: list[list[Json]] = []

    def __call__(self, _: Served) -> list[Json]:
        turn = len(self.said)
        if turn == self._turns:
            return [{"text": "Grey, everywhere."}]
        number = next(self._numbers)
        thought: Json = {
            "thought": True,
            "text": f"Turn {number}: Ich prüfe das, and then \u4e16\u754c; one place more.",
        }
        signature = f"c2lnbmF0dXJl/{number}+{'Q' * 200}=="
        places = [f"place-{number}"] if turn % 5 else [f"place-{number}-a", f"place-{number}-b"]
        prefix = "toolu_vrtx" if self._claude else "fc"
        calls: list[Json] = [
            {"functionCall": {"id": f"{prefix}_{number}_{index}", "name": "sky", "args": {"place": place}}}
            for index, place in enumerate(places)
        ]
        if self._claude:
            thought["thoughtSignature"] = signature
        else:
            calls[0]["thoughtSignature"] = signature
        text: list[Json] = [{"text": f"I look at turn {number}."}] if turn % 3 == 0 else []
        self.said.append([thought, *text, *calls])
        return self.said[-1]

    def history(self) -> list[list[Json]]:
        """Return the parts of the conversation so far as upstream has to get them: the user's and the model's by turns.

        Of a thought Gemini needs no more than the signature, which is with the call.
        """
        parts: list[list[Json]] = [[{"text": QUESTION}]]
        for said in self.said:
            parts.append([part for part in said if self._claude or not part.get("thought")])
            calls = [part["functionCall"] for part in said if "functionCall" in part]
            parts.append(
                [
                    {"functionResponse": {"id": one["id"], "name": one["name"], "response": sky(one["args"])}}
                    for one in calls
                ]
            )
        return parts


def sky(arguments: Json) -> Json:
    """Return what the tool says."""
    return {"sky": f"grey over {arguments['place']}"}


class Agents:
    """The proxy, and the simulator behind it."""

    def __init__(self, proxy: Proxy, simulator: Simulator, folder: Path) -> None:
        self.proxy, self.simulator, self._folder = proxy, simulator, folder
        self._emails = iter([account.email for account in simulator.accounts])

    def renew(self) -> None:
        """Go on with accounts that have no past, and an empty log."""
        self.simulator.heal()
        self.simulator.clear_log()
        self.simulator.reply_with(None)
        use_accounts(self.simulator, self._folder, [next(self._emails) for _ in range(ACCOUNTS)])

    def script(self, name: str, turns: int) -> Model:
        model = Model(name, turns)
        self.simulator.reply_with(model)
        return model

    def served(self) -> list[Any]:
        return self.simulator.requests(kind="served")

    def drain_last(self) -> None:
        """Let the account that served last have no quota."""
        email = self.served()[-1].email
        assert email is not None
        self.simulator.drain(email, None, 3600)

    @property
    def openai(self) -> Any:
        return openai.OpenAI(base_url=f"{self.proxy.url}/v1", api_key=self.proxy.key, max_retries=0)

    @property
    def anthropic(self) -> Any:
        import anthropic  # a second that only this file's process needs to spend

        return anthropic.Anthropic(base_url=self.proxy.url, api_key=self.proxy.key, max_retries=0)
