"""What the tests of operators have in common."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from moved_train import moved
from train_in_memory import TrainInMemory

from interlock.trains.plan import Plan


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TrainInMemory:
    made = TrainInMemory(asyncio.run(moved()), monkeypatch, tmp_path)
    made.plan_is(Plan.from_json(asyncio.run(made.head()).plan))
    made.arrived()
    asyncio.run(made.complete("a", "b"))
    return made


@pytest.fixture
def spool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Airflow has no connection, so evidence waits in this folder."""

    def get(conn_id: str) -> Connection:
        raise AirflowNotFoundException(conn_id)

    monkeypatch.setattr(BaseHook, "get_connection", staticmethod(get))
    monkeypatch.setenv("AIRFLOW__INTERLOCK__SPOOL", str(tmp_path / "spool"))
    return tmp_path / "spool"
