"""Two streamed replies at once on one event loop, each printed with the account that served it."""

import asyncio

import litellm

import litellm_antigravity


async def ask(question: str) -> None:
    stream = await litellm.acompletion(
        model="antigravity/gemini-3-flash",
        messages=[{"role": "user", "content": question}],
        stream=True,
    )
    text = account = ""
    async for chunk in stream:
        text += chunk.choices[0].delta.content or ""
        account = account or chunk._hidden_params["additional_headers"]["x-litellm-antigravity-account"]
    print(f"{account}: {text}")


async def main() -> None:
    litellm_antigravity.register()
    await asyncio.gather(ask("What is a lighthouse?"), ask("What is a ferry?"))


asyncio.run(main())
