"""The file that tells Prometheus which sidecars there are, in its own format for files.

A JSON list, one entry for each injected pod that is ready: `{"targets": ["127.20.x.y:15090"], "labels":
{"__meta_kubernetes_namespace": …, "__meta_kubernetes_pod_name": …, …}}`. Prometheus watches the file, and a
pod that is gone from it is no longer scraped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from sandbox.mesh.objects import Raw
from sandbox.mesh.scraping import target


class Targets:
    """The file; only one writer has it.

    Args:
        path: The file, in a folder of its writer.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = ""

    def write(self, pods: Iterable[Raw]) -> None:
        """Have the sidecars of these pods scraped, and no others; the file changes only if they did.

        Args:
            pods: The injected pods that are ready, with their addresses, as the API gives them.
        """
        entries = sorted((target(pod) for pod in pods), key=lambda entry: str(entry["targets"]))
        text = json.dumps(entries, indent=1, sort_keys=True)
        if text == self._written:
            return
        # Prometheus may read at any moment, and keeps what it knew where a file is no JSON.
        temporary = self._path.with_suffix(".partial.tmp")
        temporary.write_text(text)
        os.replace(temporary, self._path)
        self._written = text
