"""The environment check as a whole: connections become facts, and facts checks, for the command too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from interlock import cli
from interlock.clients import tool_servers
from interlock.clients.kubeconfig import KubernetesSettings
from interlock.clients.kubernetes import Forbidden, KubernetesError
from interlock.connections import Connection, ConnectionAbsent
from interlock.doctor.environment import Question, check_area, check_environment
from interlock.environment.check import Area, Check, Unseen
from interlock.environment.expectations import Expectations
from interlock.environment.versions import Version
from interlock.hooks.environment import EnvironmentHook
from interlock.hooks.github import GithubHook
from interlock.manifest import Manifest
from interlock.project import include
from interlock.settings import Settings
from interlock.trains.model import Environment
from tests.clients.github_server import TOKEN, FakeGithub, failure, running_github

ENVIRONMENT = Environment("sandbox", "kubernetes", "payments", "interlock", "vault", "require", "store")
NAME, PULL = "owner/service-a", "owner/service-a#12"
NOWHERE = {"host": "127.0.0.1", "port": 1}


@pytest.fixture
def github() -> Iterator[FakeGithub]:
    with running_github("/api/v3") as server:
        server.repository(NAME, "pull")
        server.pull_request(NAME, 12, ("ada", "APPROVED"))
        server.checks(NAME, "c0ffee", build="success")
        yield server


def question(
    connections: Mapping[str, Connection] | None = None,
    pull_requests: tuple[str, ...] | None = None,
    **sections: Any,
) -> Question:
    def read(name: str) -> Connection:
        try:
            return (connections or {})[name]
        except KeyError:
            raise ConnectionAbsent(f"connection {name}: nobody has set it up") from None

    return Question(
        ENVIRONMENT,
        Expectations.model_validate(sections),
        include(),
        Settings(Path("/nowhere")),
        read,
        pull_requests,
        lambda: datetime(2026, 11, 25, 6, tzinfo=UTC),
    )


def blocking(area: Area, asked: Question) -> dict[str, Check]:
    return {check.code: check for check in check_area(area, asked) if check.blocks}


def of_github(github: FakeGithub) -> dict[str, Connection]:
    host = github.address.removesuffix("/api/v3")
    return {"interlock_github": Connection("interlock_github", host=host, password=TOKEN)}


SECTION = {"repositories": {NAME: {}}, "pull_requests": [PULL]}


def test_github_in_order_keeps_nothing_from_passing(github: FakeGithub) -> None:
    checks = check_area("github", question(of_github(github), github=SECTION))
    assert [str(check) for check in checks if check.status != "ok"] == []
    assert {check.what for check in checks} >= {NAME, PULL}


def test_the_forms_pull_requests_are_looked_at_instead_of_the_files(github: FakeGithub) -> None:
    asked = question(of_github(github), (f"{NAME}#13",), github=SECTION)
    assert blocking("github", asked)["github.pull-request"].what == f"{NAME}#13"
    assert not any("pulls/12" in path for path in github.asked)


def test_a_pull_request_that_is_no_name_of_one_is_told(github: FakeGithub) -> None:
    found = blocking("github", question(of_github(github), ("service-a 12",), github=SECTION))
    assert "expected owner/name#12" in found["github.pull-request"].said


def test_without_a_section_github_is_a_note_unless_pull_requests_are_asked_for() -> None:
    (note,) = check_area("github", question())
    assert (note.status, note.severity) == ("not-checked", "note")
    (error,) = check_area("github", question(pull_requests=(PULL,)))
    assert (error.status, error.severity) == ("not-checked", "error")


@pytest.mark.parametrize(
    ("area", "code", "said"),
    [
        ("github", "github.account", "connection interlock_github: nobody has set it up"),
        ("vault", "vault.reachable", "connection vault: nobody has set it up"),
        ("store", "store.credentials", "pending: connection store: nobody has set it up"),
    ],
)
def test_a_connection_that_nobody_set_up_is_named(area: Area, code: str, said: str) -> None:
    assert blocking(area, question(github=SECTION))[code].said == said


def test_what_is_away_passes_nowhere() -> None:
    aws = {"endpoint_url": "http://127.0.0.1:1", "service_config": {"s3": {"bucket_name": "evidence"}}}
    connections = {
        "vault": Connection("vault", login="role", password="secret", **NOWHERE),  # type: ignore[arg-type]
        "store": Connection("store", login="key", password="secret", extra=aws),
    }
    result = check_environment(question(connections))
    assert result.verdict == "not-passed"
    assert set(result.fields()["blocking"]) == {"vault.reachable", "store.credentials", "store.collection"}
    assert {check.area for check in result.checks} == {"github", "vault", "tools", "store"}


def test_tools_are_told_whether_or_not_their_servers_are() -> None:
    checks = check_area("tools", question(tools={"kubectl": {"version": "v0.0.1", "required": True}}))
    codes = {check.code for check in checks if check.what == "kubectl"}
    assert codes in ({"tools.found"}, {"tools.found", "tools.pinned", "tools.skew"})
    assert [check.blocks for check in checks if check.what == "kubectl"].count(True) == len(codes) - (
        len(codes) > 1
    )


# The versions of servers


class Cluster:
    """An API server with some Deployments, or an error in their place."""

    def __init__(self, found: list[str] | Exception) -> None:
        self.found = found

    async def __aenter__(self) -> Cluster:
        return self

    async def __aexit__(self, *told: object) -> None:
        pass

    async def version(self) -> str:
        return "v1.34.4"

    async def list(
        self, api_version: str, kind: str, namespace: str, *, labels: str
    ) -> tuple[list[Manifest], str]:
        assert (api_version, kind, namespace, labels) == (
            "apps/v1",
            "Deployment",
            "istio-system",
            "app=istiod",
        )
        if isinstance(self.found, Exception):
            raise self.found
        return [_istiod(image) for image in self.found], "1"


def _istiod(image: str) -> Manifest:
    spec = {"template": {"spec": {"containers": [{"name": "discovery", "image": image}]}}}
    metadata = {"name": "istiod", "namespace": "istio-system"}
    return Manifest.of({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})


@pytest.mark.parametrize(
    ("found", "version"),
    [
        (["registry.example.com/istio/pilot:1.20.3-distroless"], Version(1, 20, 3)),
        (["r.example.com/pilot:1.20.3", "r.example.com/pilot:1.21.0"], Version(1, 21, 0)),
        ([], "missing"),
        (["r.example.com/pilot:latest"], "away"),
        (["no image at all: no"], "away"),
        (Forbidden("list deployments: 403", 403), "forbidden"),
        (KubernetesError("500"), "away"),
    ],
)
def test_istios_version_is_that_of_its_control_planes_images(
    monkeypatch: pytest.MonkeyPatch, found: list[str] | Exception, version: Version | str
) -> None:
    monkeypatch.setattr(tool_servers.KubernetesClient, "of", lambda settings: Cluster(found))
    versions = tool_servers.server_versions(KubernetesSettings(), Unseen("no Vault"), "istio-system")
    istio = versions["istioctl"]
    assert (istio.kind if isinstance(istio, Unseen) else istio) == version
    assert versions["kubectl"] == Version(1, 34, 4)
    assert versions["vault"] == versions["bao"] == Unseen("no Vault")


def test_a_kubeconfig_that_can_not_be_read_is_told() -> None:
    settings = KubernetesSettings(config_path="/nowhere/kubeconfig")
    versions = tool_servers.server_versions(settings, Unseen("no Vault"), "istio-system")
    assert isinstance(versions["kubectl"], Unseen)
    assert "/nowhere/kubeconfig" in versions["kubectl"].why


# Through Airflow


@pytest.mark.usefixtures("files")
def test_the_hook_looks_with_airflows_connections() -> None:
    found = {check.code: check for check in EnvironmentHook("moon").check("github")}
    assert found["github.account"].said == "it is trains-bot"
    assert found["github.pull-request"].what == PULL
    other = EnvironmentHook("moon", pull_requests=f" {NAME}#13, ").check("github")
    assert [check.what for check in other if check.code == "github.pull-request"] == [f"{NAME}#13"]
    (absent,) = EnvironmentHook("moon").check("vault")
    assert absent.said == "there is no connection v"


def test_githubs_hook_tells_whose_token_it_is(
    files: Path, monkeypatch: pytest.MonkeyPatch, github: FakeGithub
) -> None:
    assert GithubHook().test_connection() == (True, "the account is trains-bot")
    with GithubHook().get_conn() as client:
        assert client.can_read(f"/repos/{NAME}")
    github.faults["/user"] = [failure(401, "Bad credentials")]
    passed, said = GithubHook().test_connection()
    assert not passed
    assert "Bad credentials" in said
    monkeypatch.setenv("AIRFLOW_CONN_INTERLOCK_GITHUB", json.dumps({"conn_type": "github"}))
    assert not GithubHook().test_connection()[0]


# The command line


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, github: FakeGithub) -> Path:
    (tmp_path / "environments.yaml").write_text(
        "environments: {moon: {kubernetes: k, namespace: payments, vault: v, evidence: {store: s}}}\n"
    )
    (tmp_path / "environment.yaml").write_text(json.dumps({"github": SECTION}))
    (tmp_path / "deploy").symlink_to(include() / "deploy")
    monkeypatch.setenv("INTERLOCK_INCLUDE", str(tmp_path))
    host = github.address.removesuffix("/api/v3")
    monkeypatch.setenv(
        "AIRFLOW_CONN_INTERLOCK_GITHUB", json.dumps({"host": host, "password": TOKEN, "conn_type": "github"})
    )
    return tmp_path


@pytest.mark.usefixtures("files")
def test_the_command_prints_the_page_and_fails_unless_it_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["environment", "--pull-request", PULL]) == 1
    page = capsys.readouterr().out
    assert page.startswith("# Environment check: moon\n")
    assert f"| ok | `github.pull-request` | {PULL} |" in page
    assert "| FINDING (error) | `store.credentials` |" in page
    assert TOKEN not in page


def test_the_command_names_what_is_wrong_with_the_file(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "environment.yaml").write_text("tools: {helm: {}}\n")
    assert cli.main(["environment"]) == 1
    assert "environment.yaml:1: tools.helm: found this name" in capsys.readouterr().err
