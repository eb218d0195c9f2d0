"""What all parts of the agent share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .addresses import Addresses, Endpoints
from .api import Api
from .events import Events
from .releases import Release, Releases, ReleasesFileError

ANNOTATION_PROCESS = "sandbox.interlock.internal/process"
ANNOTATION_READY_AFTER = "sandbox.interlock.internal/ready-after"


class Registry:
    """The releases file, read anew when it changes: what the node pulls from."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at = -1
        self._releases = Releases({})

    def find(self, reference: str) -> Release | None:
        """Return the release an image reference names, or None; a broken file keeps its last good state."""
        try:
            changed = self._path.stat().st_mtime_ns
            if changed != self._read_at:
                self._read_at = changed
                self._releases = Releases.load(self._path)
        except (OSError, ReleasesFileError) as error:
            print(f"releases: {error}", flush=True)
        return self._releases.find(reference)


@dataclass(frozen=True)
class Context:
    """The agent's parts, as given to each pod."""

    node: str
    state: Path
    api: Api
    events: Events
    registry: Registry
    addresses: Addresses
    endpoints: Endpoints

    @property
    def records(self) -> Path:
        """The directory with a record of each running process."""
        return self.state / "running"

    def logs(self, namespace: str, name: str, uid: str) -> Path:
        """Return the directory with a pod's logs."""
        return self.state / "pods" / f"{namespace}_{name}_{uid}"


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)
