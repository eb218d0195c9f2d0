"""Waits that run in the triggerer and end their task there."""
