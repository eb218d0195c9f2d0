"""Airflow sensors: wait until something outside is so."""
