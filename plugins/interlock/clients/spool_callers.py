"""How those who wait for their statements hear from the leader: a datagram socket each, in the spool.

A datagram is a hint that spares a look. Who gets none (another host on the same volume, a full queue, a file
system without sockets) looks whether its files are still there.

A socket's path may have 108 bytes, and a spool's is longer where it pleases; so sockets are named through
`/proc/self/fd`.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

_LARGEST: Final = 60_000
_SAID_AT_ONCE: Final = 500
"""Places in one datagram: about 35 bytes each."""
OLD_SECONDS: Final = 3600.0


class Caller:
    """One who waits for statements of its own. Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        """Name the caller; `folder` has the sockets, and exists."""
        self.token = secrets.token_hex(4)
        self._folder = folder
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        with suppress(OSError):
            found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                _at(self._folder, self.token, found.bind)
            except OSError:
                found.close()
                raise
            self._socket = found
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()
            with suppress(OSError):
                (self._folder / self.token).unlink()

    def hear(self, seconds: float) -> dict[str, Any]:
        """Return what the leader said, or nothing after this time."""
        if self._socket is None:
            time.sleep(min(seconds, 0.02))
            return {}
        self._socket.settimeout(max(seconds, 0.001))
        try:
            said = json.loads(self._socket.recv(_LARGEST))
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}


class Callers:
    """All who wait, as the leader sees them."""

    def __init__(self, folder: Path) -> None:
        """Keep the folder with the sockets."""
        self._folder = folder
        self._socket: socket.socket | None = None

    def tell(self, token: str, said: Mapping[str, Any]) -> bool:
        """Say something to one caller, without waiting; whether it can have heard it."""
        places = said.get("places")
        if isinstance(places, dict) and len(places) > _SAID_AT_ONCE:
            items = list(places.items())
            parts = [
                {**said, "places": dict(items[at : at + _SAID_AT_ONCE])}
                for at in range(0, len(items), _SAID_AT_ONCE)
            ]
            heard = [self.tell(token, part) for part in parts]
            return all(heard)
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        sender, content = self._socket, json.dumps(said, separators=(",", ":")).encode()
        try:
            _at(self._folder, token, lambda path: sender.sendto(content, path))
        except OSError:
            return False
        return True

    def tell_all(self, said: Mapping[str, Any]) -> None:
        """Say something to all who wait now."""
        with suppress(OSError):
            for token in os.listdir(self._folder):
                self.tell(token, said)

    def clear(self) -> None:
        """Remove the sockets of processes that were killed long ago."""
        with suppress(OSError):
            for entry in list(os.scandir(self._folder)):
                with suppress(OSError):
                    if time.time() - entry.stat().st_mtime > OLD_SECONDS and not self.tell(entry.name, {}):
                        (self._folder / entry.name).unlink()

    def close(self) -> None:
        """Close the socket that it speaks through."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _at(folder: Path, token: str, act: Any) -> None:
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        act(f"/proc/self/fd/{descriptor}/{token}")
    finally:
        os.close(descriptor)
