"""The file of environments: what is read, and what can be used of one that is wrong."""

# ruff: noqa: E501 - a case of a table is a line, with the whole message
from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from interlock.mesh.gate import Gate, Probe, Traffic
from interlock.trains.environments import Environment, load_environments
from interlock.trains.located import TrainFileError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("environments: {}", "1: environments: found an empty mapping, expected at least one"),
        ("environments:\n  a:\n    namespace: n\n", "2: environments.a: 'kubernetes' is missing, expected it among kubernetes, namespace, journal_namespace, vault, evidence, mesh, checked_within"),
        ("environments:\n  a:\n    kubernetes: k\n    namespace: a.b\n", "4: environments.a.namespace: found 'a.b', expected a DNS-1123 label: at most 63 lower-case letters, digits and '-', no dots, no '-' at either end"),
        ("environments:\n  a:\n    kubernetes: my cluster\n    namespace: n\n", "3: environments.a.kubernetes: found 'my cluster', expected the id of an Airflow connection"),
        ("environments:\n  a:\n    kubernetes: k\n    namespace: n\n    evidence: {mode: sometimes}\n", "5: environments.a.evidence.mode: found 'sometimes', expected one of require, spool"),
        ("environments:\n  a:\n    kubernetes: k\n    namespace: n\n    evidence: {bucket: b}\n", "5: environments.a.evidence: unknown key 'bucket', expected one of mode, store"),
        ("environments:\n  a:\n    kubernetes: k\n    namespce: n\n    namespace: n\n", "4: environments.a: unknown key 'namespce', expected one of kubernetes, namespace, journal_namespace, vault, evidence, mesh, checked_within; did you mean 'namespace'?"),
        ("environments:\n  a:\n    kubernetes: k\n    namespace: n\n    mesh: {fail_on: error}\n", "5: environments.a.mesh.fail_on: found 'error', expected one of Error, Warning, Info"),
        ("environments:\n  a:\n    kubernetes: k\n    namespace: n\n    mesh:\n      allow: [ILM009, ILM999]\n", "6: environments.a.mesh.allow: found 'ILM999', expected the code of a finding, such as ILM009; docs/mesh.md lists them"),
        ("environments:\n  a:\n    kubernetes: k\n    namespace: n\n    mesh:\n      probe: {}\n", "6: environments.a.mesh.probe: 'image' is missing, expected it among image, service_account, limit"),
        ("environments:\n  a:\n    kubernetes: k\n    namespace: n\n    mesh:\n      probe: {image: a, limit: 300}\n", "6: environments.a.mesh.probe.limit: found 300, expected a number of ports from 1 to 256"),
        ("environments:\n  a:\n    kubernetes: k\n    namespace: n\n    mesh:\n      probe: {image: 7}\n", "6: environments.a.mesh.probe.image: found 7, expected an image such as registry.internal/interlock:1.0.0"),
        ("environments:\n  a:\n    kubernetes: k\n    namespace: n\n    mesh:\n      traffic: {window: 5s}\n", "6: environments.a.mesh.traffic.window: found '5s', expected a duration of at least 10s"),
        ("environment: {}\nenvironments: {a: {kubernetes: k, namespace: n}}", "1: unknown key 'environment', expected one of environments; did you mean 'environments'?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "environments.yaml"
    path.write_text(text)
    assert [str(problem) for problem in load_environments(path).problems] == [f"{path}:{expected}"]


def test_an_environment_that_says_little_requires_evidence_and_keeps_journals_apart(tmp_path: Path) -> None:
    path = tmp_path / "environments.yaml"
    path.write_text("environments: {sandbox: {kubernetes: k, namespace: payments}}")
    assert load_environments(path)["sandbox"] == Environment(
        name="sandbox",
        kubernetes="k",
        namespace="payments",
        journal_namespace="interlock",
        vault="interlock_vault",
        evidence_mode="require",
        store="interlock_evidence",
    )


def test_an_environment_opts_in_to_the_probe_and_keeps_it_through_json(tmp_path: Path) -> None:
    path = tmp_path / "environments.yaml"
    path.write_text("environments: {a: {kubernetes: k, namespace: n, mesh: {probe: {image: 'a/b:1'}}}}")
    found = load_environments(path)["a"]
    assert found.mesh == Gate(probe=Probe("a/b:1", "interlock-probe", 128))
    assert Environment.of_json(json.loads(json.dumps(asdict(found)))) == found


def test_an_environment_opts_in_to_observed_traffic_and_keeps_it_through_json(tmp_path: Path) -> None:
    path = tmp_path / "environments.yaml"
    path.write_text("environments: {a: {kubernetes: k, namespace: n, mesh: {traffic: {window: 10m}}}}")
    found = load_environments(path)["a"]
    assert found.mesh == Gate(traffic=Traffic("interlock_prometheus", 600.0))
    assert Environment.of_json(json.loads(json.dumps(asdict(found)))) == found


def test_an_entry_that_is_wrong_keeps_no_other_from_being_used(tmp_path: Path) -> None:
    path = tmp_path / "environments.yaml"
    path.write_text("environments:\n  a: {kubernetes: k, namespace: n}\n  b: {kubernetes: k}\n")
    found = load_environments(path)
    assert (list(found), found.names) == (["a"], ("a", "b"))
    assert found.named("a").namespace == "n"
    with pytest.raises(
        TrainFileError, match=r"environments\.yaml:3: environments\.b: 'namespace' is missing"
    ):
        found.named("b")
    assert (found.wrong("a"), len(found.wrong("b"))) == ((), 1)


@pytest.mark.parametrize("text", [None, "environments: [", "environments: []", "- a", ""])
def test_a_file_that_can_not_be_read_names_nothing_and_says_why(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "environments.yaml"
    if text is not None:
        path.write_text(text)
    found = load_environments(path)
    assert (list(found), found.names) == ([], None)
    assert found.problems
    with pytest.raises(TrainFileError, match=r"environments\.yaml:[12]: "):
        found.named("a")


def test_a_name_that_the_file_has_not_is_refused_with_those_it_has(tmp_path: Path) -> None:
    path = tmp_path / "environments.yaml"
    path.write_text("environments:\n  a: {kubernetes: k, namespace: n}\n  b: {kubernetes: k}\n")
    with pytest.raises(TrainFileError, match="environment 'moon' is not in this file: it has a, b"):
        load_environments(path).named("moon")


@pytest.mark.parametrize(("text", "seconds"), [("", None), ("    checked_within: 1h30m\n", 5400.0)])
def test_for_how_long_a_check_counts_is_read_in_seconds(
    tmp_path: Path, text: str, seconds: float | None
) -> None:
    path = tmp_path / "environments.yaml"
    path.write_text(f"environments:\n  a:\n    kubernetes: k\n    namespace: n\n{text}")
    assert load_environments(path)["a"].checked_within == seconds
