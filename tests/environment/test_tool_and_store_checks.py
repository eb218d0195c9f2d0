"""Each check of the tools and of the store, in order and not; and how versions are read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from good_environment import STORE, TOOLS, expectations, of, told

from interlock.environment.check import Check, Unseen
from interlock.environment.store import collection, judge_store
from interlock.environment.tools import ToolFacts, judge_tools
from interlock.environment.versions import Version

AWAY, MISSING = Unseen("no answer"), Unseen("not there", "missing")


def tool(name: str, found: Any, server: Any = None) -> ToolFacts:
    servers = TOOLS.servers if server is None else {**TOOLS.servers, name: server}
    return ToolFacts(TOOLS.host, {**TOOLS.tools, name: found}, servers)


def check_of(facts: ToolFacts, name: str, code: str, **entry: Any) -> Check:
    wanted = expectations(tools={name: entry})
    return of([check for check in judge_tools(facts, wanted) if check.what == name], f"tools.{code}")


def test_where_all_is_in_order_each_check_is_ok() -> None:
    checks = [*judge_tools(TOOLS, expectations()), *judge_store(STORE, "require")]
    assert [str(check) for check in checks if check.status != "ok"] == []
    assert {check.code for check in checks} == {
        *("tools.found", "tools.pinned", "tools.skew"),
        *("store.credentials", "store.identity", "store.region", "store.bucket", "store.collection"),
    }


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize(
    ("facts", "name", "code", "said"),
    [
        (tool("aws", AWAY), "aws", "found", "no answer"),
        (tool("aws", Version(2, 31, 2)), "aws", "pinned", "v2.31.2; v2.31.1 is pinned"),
        (tool("kubectl", Version(1, 35, 0)), "kubectl", "skew", "at most 1 minor version apart"),
        (tool("kubectl", Version(2, 33, 0)), "kubectl", "skew", "is v2.33.0, the Kubernetes API is v1.33.9"),
        (tool("istioctl", Version(1, 21, 0)), "istioctl", "skew", "expected the same minor version"),
        (tool("vault", Version(1, 19, 4)), "vault", "skew", "Vault is v1.20.4"),
        (tool("bao", Version(2, 7, 2)), "bao", "skew", "is v2.7.2"),
        (tool("vault", Version(1, 20, 4), AWAY), "vault", "skew", "no answer"),
    ],
)
def test_what_is_wrong_with_a_tool_matters_if_it_is_required(
    facts: ToolFacts, name: str, code: str, said: str, required: bool
) -> None:
    found = check_of(facts, name, code, version="v2.31.1", required=required)
    assert found.status == ("not-checked" if said == "no answer" else "finding")
    assert said in found.said
    assert found.severity == ("error" if required else "warning")
    assert found.fix
    assert found.where == "worker-1"


@pytest.mark.parametrize(
    ("server", "status"), [(32, "finding"), (33, "ok"), (34, "ok"), (35, "ok"), (36, "finding")]
)
def test_kubectl_is_within_one_minor_version_of_the_api_server(server: int, status: str) -> None:
    facts = tool("kubectl", Version(1, 34, 1), Version(1, server, 0))
    assert check_of(facts, "kubectl", "skew").status == status


def test_a_tool_that_isnt_installed_fails_nothing_unless_it_is_required() -> None:
    absent = tool("aws", MISSING)
    assert told(check_of(absent, "aws", "found")) == ("not-checked", "note")
    assert told(check_of(absent, "aws", "found", required=True)) == ("finding", "error")
    pinned = [check.code for check in judge_tools(absent, expectations()) if check.what == "aws"]
    assert pinned == ["tools.found"]


def test_the_other_cli_of_vault_is_named_where_one_is_missing() -> None:
    found = check_of(tool("vault", MISSING), "vault", "found", required=True)
    assert found.said == "it is not installed; bao is"
    assert "require bao" in found.fix
    neither = replace(TOOLS, tools={**TOOLS.tools, "vault": MISSING, "bao": MISSING})
    assert check_of(neither, "vault", "found").said == "it is not installed"


def test_a_server_that_isnt_there_is_no_reason_to_fail() -> None:
    found = check_of(tool("istioctl", Version(1, 20, 0), MISSING), "istioctl", "skew", required=True)
    assert told(found) == ("not-checked", "note")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Client Version: v1.34.1\nKustomize Version: v5.7.1", "v1.34.1"),
        ("client version: 1.20.0", "v1.20.0"),
        ("Vault v1.20.4 (55bd8f18c6c84aa89fdede4850a622c57f03bd7e), built 2025-09-23T13:22:38Z", "v1.20.4"),
        ("OpenBao v2.7.2 (9e0a0d3c), committed 2026-10-26T20:32:27Z", "v2.7.2"),
        ("aws-cli/2.31.1 Python/3.13.7 Linux/6.1 exe/x86_64", "v2.31.1"),
        ("v1.33.4-gke.1350000", "v1.33.4"),
        ("1.20.4+ent", "v1.20.4"),
        ("v1.34", "v1.34.0"),
        ("1.29.1-distroless", "v1.29.1"),
        ("192.168.0.1", "None"),
        ("no version", "None"),
    ],
)
def test_a_version_is_found_in_what_a_program_says(text: str, version: str) -> None:
    assert str(Version.find(text)) == version


@pytest.mark.parametrize(
    ("changes", "code", "status", "said"),
    [
        ({"credentials": "pending", "said": "no key"}, "credentials", "finding", "pending: no key"),
        ({"credentials": "refused", "said": "403"}, "credentials", "finding", "refused: 403"),
        ({"credentials": AWAY}, "credentials", "not-checked", "no answer"),
        ({"fit": "versioning is None"}, "bucket", "finding", "versioning is None"),
        ({"fit": AWAY}, "bucket", "not-checked", "no answer"),
        ({"fit": "no lock"}, "collection", "finding", "temporary collection"),
        ({"credentials": "refused"}, "collection", "finding", "temporary collection"),
    ],
)
def test_what_is_wrong_with_the_store_matters_where_evidence_is_required(
    changes: dict[str, Any], code: str, status: str, said: str
) -> None:
    facts = replace(STORE, **changes)
    for mode, severity in (("require", "error"), ("spool", "warning")):
        found = of(judge_store(facts, mode), f"store.{code}")
        assert (found.status, found.severity) == (status, severity)
        assert said in found.said
        assert found.fix
        assert found.where == "interlock_evidence, Amazon S3"


@pytest.mark.parametrize(
    ("changes", "code", "expected", "said"),
    [
        ({"identity": "arn:aws:iam::000000000000:root"}, "identity", ("finding", "error"), "do everything"),
        ({"identity": AWAY}, "identity", ("not-checked", "note"), "no answer"),
        ({"found_region": "eu-west-1"}, "region", ("finding", "warning"), "it is in eu-west-1"),
        ({"found_region": None}, "region", ("not-checked", "note"), "names no region"),
    ],
)
def test_whose_credentials_and_which_region_are_told(
    changes: dict[str, Any], code: str, expected: tuple[str, str], said: str
) -> None:
    found = of(judge_store(replace(STORE, **changes), "require"), f"store.{code}")
    assert told(found) == expected
    assert said in found.said


@pytest.mark.parametrize(
    ("changes", "how"),
    [
        ({}, "worm"),
        ({"credentials": "pending"}, "temporary"),
        ({"credentials": "refused"}, "temporary"),
        ({"credentials": AWAY}, "temporary"),
        ({"fit": "no lock"}, "temporary"),
        ({"fit": AWAY}, "temporary"),
    ],
)
def test_the_credentials_and_the_bucket_decide_how_evidence_is_collected(
    changes: dict[str, Any], how: str
) -> None:
    assert collection(replace(STORE, **changes)) == how


def test_refused_credentials_say_nothing_of_a_bucket() -> None:
    facts = replace(STORE, credentials="refused")
    assert [check.code for check in judge_store(facts, "spool")] == ["store.credentials", "store.collection"]
