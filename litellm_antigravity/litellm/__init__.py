"""LiteLLM's seams: everything that knows LiteLLM, and every private name of LiteLLM that this package uses."""
