"""Airflow hooks: each turns a connection into a client and adds nothing."""
