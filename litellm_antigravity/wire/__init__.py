"""HTTP with upstream: clients, the envelope, server-sent events, and one exchange."""
