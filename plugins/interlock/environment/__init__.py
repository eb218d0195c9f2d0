"""Whether an environment is in order before a sprint: accounts, tokens, tools, the store. Part of the core.

Clients gather facts, the modules here turn them into checks: `github.py`, `vault.py`, `tools.py`, `store.py`.
What an environment has to be like is said by `include/environment.yaml` (`expectations.py`). What could not
be looked at is a check of its own, never left out and never passed.
"""
