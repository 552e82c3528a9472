"""Three agents, each a process of its own: they start on different accounts and tell each other what they learn."""

import multiprocessing
from multiprocessing.synchronize import Barrier

import litellm

import litellm_antigravity

SETTINGS = {"account_selection_strategy": "sticky", "pid_offset_enabled": True, "offset_source": "slot"}


def agent(number: int, all_done: Barrier) -> None:
    litellm_antigravity.register(litellm_antigravity.Settings(**SETTINGS))
    for question in ("What is a lighthouse?", "And a ferry?"):
        reply = litellm.completion(
            model="antigravity/claude-sonnet-4-6", messages=[{"role": "user", "content": question}]
        )
        print(f"agent {number}: {reply.choices[0].message.content}", flush=True)
    all_done.wait()  # an account is handed on when its process ends; real agents live longer than this


if __name__ == "__main__":
    barrier = multiprocessing.Barrier(3)
    agents = [multiprocessing.Process(target=agent, args=(number, barrier)) for number in (1, 2, 3)]
    for process in agents:
        process.start()
    for process in agents:
        process.join()
