"""Is a service ready to be promoted? A checklist, and for each item that is missing what would mend it.

Facts (`facts.py`) and the service's file (`service_file.py`) go in; a `Checklist` comes out, whose items are
small rules (`structure.py`, `surroundings.py`, `mesh.py`, `monitoring.py`, `vault.py`, `promotion.py`).
"""
