"""Which account serves a request: pure functions of accounts, what is known of them, and the time."""
