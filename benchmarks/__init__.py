"""Trains of several sizes against the critical path of their delays and against the same graph by hand.

`python -m benchmarks --help` says how it is run. Nothing of the product imports this package.
"""
