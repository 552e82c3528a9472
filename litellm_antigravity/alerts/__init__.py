"""Telling people what happens to accounts: once, whoever noticed it; docs/alerts.md."""
