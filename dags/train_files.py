"""No DAG: its import error names what is wrong with environments.yaml and the train files, with the lines.

Airflow deactivates every DAG of a file that has an import error. Here there is none, so one wrong file stops
no other train.
"""

from __future__ import annotations

from interlock.project import environments_file, load_trains
from interlock.trains.model import load_environments

_environments = load_environments(environments_file())
_wrong = [*map(str, _environments.problems), *load_trains(_environments.names).broken.values()]
if _wrong:
    raise ValueError("\n".join(_wrong))
