"""Scripts for the simulator: what the model says, and what happens when. See docs/simulator.md.

`document` is what a script may say, `reading` checks a file against it, `director` plays it, `actions` does what it
says. The ready ones are in ``ready``. Importing this package imports neither pydantic nor yaml; using it does.
"""
