"""What the benchmark writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import report
from benchmarks.breakdown import STEPS
from benchmarks.result import BY_HAND, OURS


def row(way: str, services: int, makespan: float, **more: Any) -> dict[str, Any]:
    memory = ("triggerer_first", "triggerer_most", "workers_first", "workers_most")
    return {
        "way": way,
        "services": services,
        "depth": 5,
        "bound": 150.0,
        "makespan": makespan,
        "before_the_first_service": 3.0,
        "after_the_last_service": 2.0,
        "mean_steps_on_path": dict.fromkeys(STEPS, 0.5),
        "tasks": services,
        "task_kinds": {},
        "slots": {"mean": 3.0, "most": 16.0, "tenths": [1.0] * 10, "most_queued": 4, "seconds": 1.0},
        "memory": dict.fromkeys(memory, 2**30),
        "requests": {"get pods": 10},
        "requests_per_service": 9.0,
        "noticing": {"p50": 0.2, "p99": 0.9, "most": 1.2},
        "noticing_after_status": {"p50": 0.1, "p99": 0.2, "most": 0.3},
        "processor": {"workers": 20.0, "airflow-scheduler": 5.0},
        "load": [1.0, 2.0],
        **more,
    }


def met(rows: list[dict[str, Any]]) -> dict[str, bool]:
    return {target: yes for target, yes, _ in report.targets(rows)}


def test_a_train_may_take_as_long_as_by_hand_and_no_longer() -> None:
    target = "12 services: not slower than by hand"
    assert met([row(OURS, 12, 170.0), row(BY_HAND, 12, 170.0)])[target]
    assert not met([row(OURS, 12, 170.1), row(BY_HAND, 12, 170.0)])[target]


def test_200_services_take_at_most_half_of_by_hand() -> None:
    target = "200 services: at most half of by hand"
    assert met([row(OURS, 200, 200.0), row(BY_HAND, 200, 400.0)])[target]
    assert not met([row(OURS, 200, 201.0), row(BY_HAND, 200, 400.0)])[target]
    assert "50 services: at most half of by hand" not in met([row(OURS, 50, 1.0), row(BY_HAND, 50, 9.0)])


def test_five_seconds_and_four_for_each_service_on_the_path_are_allowed() -> None:
    target = "50 services: at most 25 s over the critical path"
    assert met([row(OURS, 50, 175.0)])[target]
    assert not met([row(OURS, 50, 175.1)])[target]


def test_noticing_and_requests_have_their_limits() -> None:
    slow = {"p50": 0.2, "p99": 1.01, "most": 2.0}
    found = met([row(OURS, 3, 70.0, noticing=slow, requests_per_service=10.1)])
    assert not any(found.values())
    assert all(met([row(OURS, 3, 70.0)]).values())


def test_what_stands_around_the_figures_stays(tmp_path: Path) -> None:
    file = tmp_path / "benchmarks.md"
    report.put(file, "first")
    file.write_text(file.read_text() + "\nWhat a person wrote.\n")
    report.put(file, "second")
    text = file.read_text()
    assert "second" in text
    assert "first" not in text
    assert text.startswith("# Benchmarks")
    assert text.endswith("What a person wrote.\n")


def test_a_file_without_the_marks_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "other.md"
    file.write_text("mine")
    with pytest.raises(ValueError, match="these lines are not there"):
        report.put(file, "figures")
    assert file.read_text() == "mine"


def test_the_section_names_machine_limits_and_a_row_for_each_run() -> None:
    summary = {
        "date": "2026-01-01 00:00 UTC",
        "machine": {"CPU": "2 cores of X"},
        "versions": {"Airflow": "3.3.2"},
        "limits": {"kube-controller-manager": "--kube-api-qps 1000"},
        "settings": {"seed": 7, "ready": 15.0, "soak": 15.0},
        "runs": [row(OURS, 12, 180.0), row(BY_HAND, 12, 160.0)],
    }
    text = report.markdown(summary)
    assert "2 cores of X" in text
    assert "--kube-api-qps 1000" in text
    assert "| 12 | 5 | interlock | 150 s | 180.0 s | 1.20 | 1.12 | 12 | 1.0, 2.0 |" in text
    assert "| 12 services: not slower than by hand | **no** | 180 s, 160 s |" in text
