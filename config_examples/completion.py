"""The smallest program: one request, served by whichever account is free."""

import litellm

import litellm_antigravity

litellm_antigravity.register()

reply = litellm.completion(
    model="antigravity/claude-sonnet-4-6",
    messages=[{"role": "user", "content": "Say hello in one sentence."}],
)
print(reply.choices[0].message.content)
