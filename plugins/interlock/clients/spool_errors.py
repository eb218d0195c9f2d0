"""What can go wrong with the spool.

SpoolError
  SpoolFull            the limit is reached, or the disk is full
  SpoolTampered        a file isn't the one that was written, or is gone
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path


class SpoolError(Exception):
    """The spool can't be used; the message says what to do."""


class SpoolFull(SpoolError):
    """There is no room: ship what waits, or raise the limit."""


class SpoolTampered(SpoolError):
    """A file isn't the one that was written, or is gone."""


@contextlib.contextmanager
def on_disk(folder: Path) -> Iterator[None]:
    """Raise what the operating system says of a folder as the spool's errors."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SpoolFull(f"{folder}: the disk is full") from error
        raise SpoolError(f"{folder}: can't be used as a spool: {error}") from error
