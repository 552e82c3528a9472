"""Pinned deployments: groups of the model list whose deployments name an account are routed by our strategies.

A group is all deployments of one ``model_name`` that name an account in ``model_info.account``. Each group has an
`AccountPool` of its own over the shared state: its accounts, in the order of the model list. Groups that name no
account are not looked at.
"""
