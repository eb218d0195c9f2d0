"""Interlock: promotion trains with evidence, for Airflow, Istio and Kubernetes.

Imports go one way: the Airflow side (`hooks`, `operators`, `sensors`, `triggers`) → `clients` → the core
(`trains`, `evidence`). The core decides and does no I/O; the Airflow side acts and decides nothing.
"""
