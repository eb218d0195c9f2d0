"""The evidence store is away, or Vault is sealed, while trains move, go back and start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from evidence_bucket import LATE, EvidenceBucket, kind
from observed import specs
from running_sandbox import RunningSandbox
from train_runs import TrainRuns

pytestmark = pytest.mark.sandbox

SHIPPING = "evidence_shipping"


def _take_store(sandbox: RunningSandbox) -> None:
    sandbox.stop_program("seaweedfs")


def _give_store(sandbox: RunningSandbox) -> None:
    sandbox.start_program("seaweedfs")
    bucket = EvidenceBucket(sandbox.env)
    sandbox.until(bucket.answers, 120, "the evidence store to answer")


def _seal_vault(sandbox: RunningSandbox) -> None:
    address, token = sandbox.env["VAULT_ADDR"], sandbox.env["VAULT_TOKEN"]
    httpx.put(f"{address}/v1/sys/seal", headers={"X-Vault-Token": token}, timeout=10).raise_for_status()
    assert httpx.get(f"{address}/v1/sys/seal-status", timeout=10).json()["sealed"]


def _unseal_vault(sandbox: RunningSandbox) -> None:
    # Its seal is a static key: it unseals itself when it starts.
    sandbox.stop_program("openbao")
    sandbox.start_program("openbao")
    health = f"{sandbox.env['VAULT_ADDR']}/v1/sys/health"

    def healthy() -> bool:
        try:
            return httpx.get(health, timeout=5).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    sandbox.until(healthy, 60, "Vault to be unsealed")


AWAY: Mapping[str, tuple[Callable[[RunningSandbox], None], Callable[[RunningSandbox], None]]] = {
    "store away": (_take_store, _give_store),
    "Vault sealed": (_seal_vault, _unseal_vault),
}


@pytest.mark.parametrize("fault", AWAY)
def test_trains_go_on_and_nothing_they_said_is_lost(sandbox: RunningSandbox, fault: str) -> None:
    take, give = AWAY[fault]
    trains = {name: sandbox.train(name) for name in ("north", "south", "east", "west")}
    moving, spooling, going_back, refused = trains.values()
    for train in trains.values():
        train.settle()
    before = {name: specs(train) for name, train in trains.items()}
    wanted = moving.new_releases()

    back_id = going_back.trigger({**going_back.new_releases(), "east-b": "1.2.0-crash"})
    sandbox.until(lambda: bool(going_back.task_states(back_id)["east-b.preflight"]), 120, "east-b's turn")
    moving_id = moving.trigger(wanted)
    sandbox.until(lambda: _under_way(moving, moving_id, going_back, back_id), 240, "both trains to be there")
    take(sandbox)
    try:
        refused_id = refused.trigger({**refused.new_releases(), "environment": "unmeshed"})
        spooling_wanted = spooling.new_releases()
        spooling_id = spooling.trigger({**spooling_wanted, "environment": "spooling"})
        ends = {
            train.name: train.wait(run_id)
            for train, run_id in (
                (moving, moving_id),
                (going_back, back_id),
                (refused, refused_id),
                (spooling, spooling_id),
            )
        }
        assert {name: state for name, (state, _) in ends.items()} == {
            "north": "success",
            "east": "failed",
            "west": "failed",
            "south": "success",
        }, ends
        assert "statements waiting: 0" not in sandbox.interlock("status")
    finally:
        give(sandbox)

    # What moved and what did not.
    assert _tags(moving) == wanted
    assert _tags(spooling) == spooling_wanted
    assert specs(going_back) == before["east"]
    assert ends["west"][1]["plan"] == "failed", ends["west"]
    assert "requires evidence to start a train" in refused.log(refused_id, "plan")
    assert specs(refused) == before["west"]
    assert refused.head_states(refused_id) == []
    for train in trains.values():
        assert train.holders() == {}
        assert train.whole()

    _ship(sandbox)
    assert "statements waiting: 0" in sandbox.interlock("status")
    bucket = EvidenceBucket(sandbox.env)
    expected = {
        moving: (moving_id, {"plan": 1, "preflight": 2, "promote": 6, "verify": 3, "seal": 1}),
        spooling: (spooling_id, {"plan": 1, "preflight": 2, "promote": 6, "verify": 3, "seal": 1}),
    }
    for train, (run_id, kinds) in expected.items():
        assert _kinds(bucket.statements(train.run_hash(run_id))) == kinds
    for train, run_id in ((moving, moving_id), (spooling, spooling_id), (going_back, back_id)):
        seal, others = bucket.seal(train.run_hash(run_id))
        assert set(seal["statements"]) == others, (train.name, seal)
        assert seal["complete"] is (fault != "store away"), seal["incomplete_because"]
    rollbacks = _kinds(bucket.statements(going_back.run_hash(back_id)))["rollback"]
    assert rollbacks == sum(state == "success" for task, state in ends["east"][1].items() if _rollback(task))
    late = {key for key, content in bucket.envelopes(spooling.run_hash(spooling_id)) if content == LATE}
    assert bool(late) is (fault == "Vault sealed"), "unsigned statements are signed late, and say so"


def _under_way(moving: TrainRuns, moving_id: str, back: TrainRuns, back_id: str) -> bool:
    """Whether the one train has its locks, and the other has begun to go back."""
    return (
        moving.task_states(moving_id)["lock"] == "success"
        and back.task_states(back_id)["rollback.decide"] == "success"
    )


def _ship(sandbox: RunningSandbox) -> None:
    run_id = sandbox.send("POST", f"/api/v2/dags/{SHIPPING}/dagRuns", {"logical_date": None})["dag_run_id"]
    path = f"/api/v2/dags/{SHIPPING}/dagRuns/{run_id}"
    sandbox.until(lambda: sandbox.send("GET", path)["state"] in ("success", "failed"), 180, "shipping")
    assert sandbox.send("GET", path)["state"] == "success"


def _tags(train: TrainRuns) -> dict[str, str]:
    return {name: image.rpartition(":")[2] for name, image in train.images().items()}


def _kinds(statements: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for statement in statements.values():
        found[kind(statement)] = found.get(kind(statement), 0) + 1
    return found


def _rollback(task: str) -> bool:
    return task.startswith("rollback.") and task != "rollback.decide"
