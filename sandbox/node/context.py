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
    """The agent's parts, as given to each pod.

    Attributes:
        node: The name of the Node.
        state: The directory of logs, records, addresses, volumes and what sidecars start with.
        api: The API server.
        events: Takes the pods' Events.
        registry: What the node pulls from.
        addresses: Of the pods.
        endpoints: The ready pods.
        sockets: The directory with the control plane's unix socket, and the sidecars' own.
    """

    node: str
    state: Path
    api: Api
    events: Events
    registry: Registry
    addresses: Addresses
    endpoints: Endpoints
    sockets: Path

    @property
    def records(self) -> Path:
        """The directory with a record of each running process."""
        return self.state / "running"

    def logs(self, namespace: str, name: str, uid: str) -> Path:
        """Return the directory with a pod's logs."""
        return self.state / "pods" / f"{namespace}_{name}_{uid}"

    def volumes(self, uid: str) -> Path:
        """Return the directory with a pod's emptyDir volumes."""
        return volumes(self.state, uid)

    def envoy(self, uid: str) -> Path:
        """Return the directory with what a pod's sidecar starts with."""
        return self.state / "envoy" / uid

    def admin_socket(self, uid: str) -> Path:
        """Return the unix socket of a pod's sidecar's own administration."""
        # A socket's path is short, so it has only the beginning of the uid in its name.
        return self.sockets / f"envoy-{uid[:13]}"


def volumes(state: Path, uid: str) -> Path:
    """Return the directory with a pod's emptyDir volumes, below a node's state."""
    return state / "volumes" / uid


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)
