"""Addresses: one of its own in 127.20.0.0/16 for each pod, and the list of ready ones for the programs.

Linux lets any program bind to any address in 127.0.0.0/8, so that an address needs no interface. There is
no kube-proxy: a program finds another service in `endpoints.json`, which the agent keeps, as
`{"<namespace>/<label app>": ["<ip>:<port>", …]}` of the ready pods.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection
from pathlib import Path

_COUNT = 200 * 254


def _address(number: int) -> str:
    return f"127.20.{number // 254}.{number % 254 + 1}"


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one step, so that no reader sees half of it."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


class Addresses:
    """Which pod has which address; kept in a file, so that a restarted agent gives the same ones.

    A freed address is given again only after all others, so that a late request doesn't reach a stranger.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Two sandboxes on one machine share the network, so each begins at a place of its own.
        self._next = int(hashlib.sha256(str(path.resolve()).encode()).hexdigest(), 16) % _COUNT
        self._of: dict[str, str] = {}
        self._changed = False
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            self._next, self._of = kept["next"], kept["pods"]

    def of(self, uid: str, known: str = "") -> str:
        """Return the address of a pod; `known` is the one that the API has for it, if any."""
        address = self._of.get(uid) or (known if known.startswith("127.20.") else "")
        if not address:
            taken = set(self._of.values())
            for _ in range(_COUNT):
                address, self._next = _address(self._next), (self._next + 1) % _COUNT
                if address not in taken:
                    break
        if self._of.get(uid) != address:
            self._of[uid], self._changed = address, True
        return address

    def free(self, uid: str) -> None:
        """Give a pod's address back."""
        self._changed = self._of.pop(uid, None) is not None or self._changed

    def keep_only(self, uids: Collection[str]) -> None:
        """Give back the addresses of all other pods."""
        for uid in [u for u in self._of if u not in uids]:
            self.free(uid)

    def save(self) -> None:
        """Write the file if something changed."""
        if self._changed:
            write_whole(self._path, json.dumps({"next": self._next, "pods": self._of}))
            self._changed = False


class Endpoints:
    """The ready pods by service, in a file that the programs read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ready: dict[str, dict[str, str]] = {}
        write_whole(path, "{}")

    def set(self, service: str, uid: str, endpoint: str | None) -> None:
        """Say where a pod of `service` is reached; None once it is not ready any more."""
        pods = self._ready.setdefault(service, {})
        if pods.get(uid) == endpoint:
            return
        if endpoint is None:
            pods.pop(uid, None)
        else:
            pods[uid] = endpoint
        write_whole(self.path, json.dumps({s: sorted(p.values()) for s, p in self._ready.items() if p}))
