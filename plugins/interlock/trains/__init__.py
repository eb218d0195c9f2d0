"""Promotion trains: what a run will change, what it may do next, and how it goes back.

Everything here decides and nothing acts: frozen values in, frozen values out, the time passed in.
"""
