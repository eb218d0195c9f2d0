"""What a view shows, and that it shows nothing any more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scope:
    """What a view shows.

    Attributes:
        connection: names the API server and identity; equal names share a view.
        namespace: None means all namespaces.
        metadata: the objects' metadata alone.
    """

    connection: str
    api_version: str
    kind: str
    namespace: str | None
    labels: str = ""
    metadata: bool = False


class ViewEnded(Exception):
    """A view follows nothing any more, so it says nothing of what is; the message says why."""
