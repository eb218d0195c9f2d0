"""What the tests of faults share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from held_writes import HeldWrites
from running_sandbox import RunningSandbox


@pytest.fixture(scope="module")
def held(sandbox: RunningSandbox) -> Iterator[HeldWrites]:
    """Holds writes of Interlock's inside the API server."""
    with HeldWrites(sandbox) as writes:
        yield writes
