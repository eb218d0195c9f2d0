"""No DAG: its import error names the train files that don't load, each with its line.

Airflow deactivates every DAG of a file that has an import error. Here there is none, so one wrong train file
stops no other train.
"""

from __future__ import annotations

from interlock.project import environments_file, load_trains
from interlock.trains.model import load_environments

_broken = load_trains(load_environments(environments_file())).broken
if _broken:
    raise ValueError("\n".join(_broken.values()))
