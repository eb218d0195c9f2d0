"""Clients of outside systems: built from plain settings, without Airflow."""
