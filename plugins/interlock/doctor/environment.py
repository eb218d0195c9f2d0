"""The environment check: looks at one area, or at all of them, and lets the core judge what was seen.

For the command line, and for operators, sensors and triggers: they give what reads connections.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.connections import Connection, ConnectionMissing
from interlock.doctor.line import PATIENCE_SECONDS
from interlock.environment.check import AREAS, Area, At, Check, Unseen
from interlock.environment.expectations import Expectations
from interlock.environment.github import judge_github
from interlock.environment.result import Result
from interlock.environment.store import judge_store
from interlock.environment.tools import ToolFacts, judge_tools
from interlock.environment.vault import judge_vault
from interlock.environment.vault_policy import off_limits, rules
from interlock.settings import Settings
from interlock.trains.model import Environment

if TYPE_CHECKING:
    from interlock.clients.vault import VaultSettings

FILE: Final = "include/environment.yaml"


@dataclass(frozen=True)
class Question:
    """What is looked at, and with what.

    Attributes:
        environment: what is to be reached.
        wanted: what it has to be like.
        include: the folder with deploy/.
        settings: Interlock's settings.
        read: gives a connection by its name, or raises ConnectionMissing.
        pull_requests: instead of those that the file names; None: those of the file.
        now: the clock.
    """

    environment: Environment
    wanted: Expectations
    include: Path
    settings: Settings
    read: Callable[[str], Connection]
    pull_requests: tuple[str, ...] | None = None
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


def check_environment(question: Question) -> Result:
    """Look at all areas."""
    checks = [check for area in AREAS for check in check_area(area, question)]
    return Result.of(question.environment.name, question.now(), checks)


def check_area(area: Area, question: Question) -> list[Check]:
    """Look at one area; texts that look like a secret are withheld."""
    return [check.withheld() for check in _LOOKS[area](question)]


def _github(question: Question) -> list[Check]:
    from interlock.clients.github_look import look_at_github
    from interlock.clients.github_settings import GithubSettings

    wanted, asked = question.wanted.github, question.pull_requests
    if wanted is None:
        return [
            At(FILE).unseen(
                "github.account",
                "GitHub",
                Unseen("the file has no section `github`, so nobody was asked"),
                "Add the section `github` with the repositories of the trains",
                severity="error" if asked else "note",
            )
        ]
    try:
        settings = GithubSettings.of_connection(question.read(wanted.connection))
    except ConnectionMissing as error:
        return [_no_connection("github.account", "active account", wanted.connection, str(error))]
    named = wanted.pull_requests if asked is None else asked
    facts = look_at_github(wanted.connection, settings, wanted.repositories, named)
    return list(judge_github(facts, wanted, question.now()))


def _vault(question: Question) -> list[Check]:
    from interlock.clients.vault_look import look_at_vault

    wanted, settings, name = question.wanted.vault, question.settings, question.environment.vault
    found = _vault_settings(question, name)
    if isinstance(found, Unseen):
        return [_no_connection("vault.reachable", "Vault", name, found.why)]
    policy = (question.include / "deploy" / "vault" / "interlock.hcl").read_text()
    mounts, secrets = found.mounts, tuple(wanted.secrets)
    needs = rules(policy, mounts)
    for path in secrets:
        needs |= dict.fromkeys(found.paths_of(path), frozenset({"read"}))
    limits = off_limits(mounts, settings.transit_key, settings.log_transit_key, secrets)
    auditor: VaultSettings | Unseen | None = None
    if wanted.audit_connection is not None:
        auditor = _vault_settings(question, wanted.audit_connection)
    facts = look_at_vault(
        name,
        found,
        key=settings.transit_key,
        paths=[*needs, *limits],
        secrets=secrets,
        auditor=auditor,
    )
    return list(judge_vault(facts, wanted, needs, limits))


def _tools(question: Question) -> list[Check]:
    from interlock.clients.kubeconfig import KubernetesSettings
    from interlock.clients.tool_servers import server_versions
    from interlock.clients.tools import look_at_tools

    kubernetes: KubernetesSettings | Unseen
    try:
        kubernetes = KubernetesSettings.of_connection(question.read(question.environment.kubernetes))
    except ConnectionMissing as error:
        kubernetes = Unseen(str(error))
    vault = _vault_settings(question, question.environment.vault)
    servers = server_versions(kubernetes, vault, question.wanted.istio_namespace)
    facts = ToolFacts(f"host {socket.gethostname()}", look_at_tools(), servers)
    return list(judge_tools(facts, question.wanted))


def _store(question: Question) -> list[Check]:
    from interlock.clients.store_look import look_at_store, pending
    from interlock.clients.store_settings import StoreSettings

    name = question.environment.store
    try:
        settings = StoreSettings.of_connection(question.read(name))
        facts = look_at_store(name, replace(settings, timeout=PATIENCE_SECONDS))
    except ConnectionMissing as error:
        facts = pending(name, str(error))
    return list(judge_store(facts, question.environment.evidence_mode))


_LOOKS: Final[Mapping[Area, Callable[[Question], list[Check]]]] = {
    "github": _github,
    "vault": _vault,
    "tools": _tools,
    "store": _store,
}


def _vault_settings(question: Question, name: str) -> VaultSettings | Unseen:
    from interlock.clients.vault import VaultSettings

    try:
        return replace(VaultSettings.of_connection(question.read(name)), timeout=PATIENCE_SECONDS)
    except ConnectionMissing as error:
        return Unseen(str(error))


def _no_connection(code: str, what: str, name: str, why: str) -> Check:
    fix = f"Set the connection {name} up as docs/reference.md says"
    return At(name).finding(code, what, why, fix)
