"""HTTP with upstream: clients, Cloud Code's own language, server-sent events, and one exchange."""
