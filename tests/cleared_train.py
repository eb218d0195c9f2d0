"""The tasks of a train in memory as somebody clears them, and what the tests look at."""

from __future__ import annotations

import asyncio
from typing import Any

from moved_train import IMAGE, NOW, image, ref
from train_in_memory import HASH, TrainInMemory, waits

from interlock.clients.journal import Written
from interlock.clients.locks import all_held
from interlock.operators.train_back import DecideOperator, RollbackOperator
from interlock.operators.train_end import CloseOperator
from interlock.runs.lock import lock_and_open
from interlock.runs.run import Run
from interlock.trains.fields import put
from interlock.trains.lock import HeldBy


def decided(train: TrainInMemory) -> tuple[str, ...]:
    task = DecideOperator(task_id="decide", train="payments")
    return asyncio.run(task._decide(Run.of("payments", train.context), train.ti))


def rollback(train: TrainInMemory, service: str) -> bool:
    train.ti.states["rollback.decide"] = "success"
    return waits(RollbackOperator(task_id=service, train="payments", service=service).execute, train.context)


def close(train: TrainInMemory) -> None:
    train.ti.states.setdefault("rollback.decide", "success")
    CloseOperator(task_id="close", train="payments").execute(train.context)


def lock(train: TrainInMemory) -> dict[str, int] | HeldBy:
    run = Run.of("payments", train.context)
    return asyncio.run(lock_and_open(run, train.cluster, NOW))  # type: ignore[arg-type]


def somebody_sets(train: TrainInMemory, name: str, value: str) -> None:
    live = asyncio.run(train.cluster.get(ref(name)))
    assert live is not None
    asyncio.run(train.cluster.replace(type(live).of(put(live.raw, IMAGE, value))))


def images(train: TrainInMemory) -> list[str]:
    return [asyncio.run(image(train.cluster, name)) for name in "ab"]


def holders(train: TrainInMemory) -> int:
    return len(asyncio.run(all_held(train.cluster, "interlock")))


def end(train: TrainInMemory, how: Any = None, names: str = "ab") -> None:
    """Write an outcome into the journals of services."""
    for name in names:
        written = asyncio.run(train.store.service(HASH, name))
        asyncio.run(train.store.write(HASH, Written(how(written.journal), written.version)))
