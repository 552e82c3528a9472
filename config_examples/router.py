"""For Python code with a `litellm.Router`: each account is a deployment, and our strategy chooses among them."""
# Groups that name no account stay as they are. Synchronous and asynchronous calls are routed alike.

import litellm

import litellm_antigravity

MODEL = "antigravity/claude-sonnet-4-6"
ACCOUNTS = ["user1@example.com", "user2@example.com", "user3@example.com"]  # as in the accounts file

litellm_antigravity.register(litellm_antigravity.Settings(account_selection_strategy="round-robin"))
router = litellm.Router(
    model_list=[
        {"model_name": "claude", "litellm_params": {"model": MODEL}, "model_info": {"account": account}}
        for account in ACCOUNTS
    ],
    num_retries=len(ACCOUNTS),
)
litellm_antigravity.install(router)

for number in range(1, 4):
    reply = router.completion(model="claude", messages=[{"role": "user", "content": f"Hello, {number}"}])
    print(reply.choices[0].message.content)
