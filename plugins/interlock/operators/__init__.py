"""Airflow operators: gather, ask the core, act, record."""
