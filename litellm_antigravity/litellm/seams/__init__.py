"""Every private name of LiteLLM that this package uses.

`table` names each with its reason, `borrowed` has what is taken over as it is, `functions` the wrappers around its
functions, `router` and `proxy` what belongs to those, and `requests` the keys that LiteLLM leaves in a request.
Public names are imported where they are needed.
"""
