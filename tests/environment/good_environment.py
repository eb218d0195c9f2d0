"""Facts of an environment in which everything is in order; tests change one thing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from interlock.environment.check import Check
from interlock.environment.expectations import Expectations
from interlock.environment.github_facts import (
    Account,
    CheckRun,
    GithubFacts,
    Limit,
    PullRequest,
    Repository,
    SeenRepository,
)
from interlock.environment.store import StoreFacts
from interlock.environment.tools import ToolFacts
from interlock.environment.vault_facts import Server, Token, VaultFacts
from interlock.environment.vault_policy import Mounts, off_limits
from interlock.environment.versions import Version

NOW = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
NAME, PULL = "owner/service-a", "owner/service-a#12"
KEY = "interlock-statements"
NEEDS = {
    f"transit/sign/{KEY}": frozenset({"update"}),
    "secret/subkeys/interlock/doctor": frozenset({"read"}),
}
LIMITS = off_limits(Mounts(), KEY, "interlock-checkpoints", ("interlock/service-a",))


def expectations(**sections: Any) -> Expectations:
    given: dict[str, Any] = {
        "github": {"repositories": {NAME: {}}, "pull_requests": [PULL]},
        "vault": {"secrets": {"interlock/service-a": ["api_key"]}},
        "tools": {
            "kubectl": {"version": "v1.34.1"},
            "istioctl": {"version": "v1.20.0"},
            "vault": {"version": "v1.20.4"},
            "aws": {"version": "v2.31.1"},
        },
    }
    return Expectations.model_validate(given | sections)


REPOSITORY = Repository(NAME, archived=False, roles=frozenset({"pull"}))
READABLE = {
    **dict.fromkeys(("metadata", "contents", "pull_requests", "checks", "statuses"), True),
    **dict.fromkeys(("administration", "secrets", "webhooks"), False),
}
SEEN = SeenRepository(NAME, REPOSITORY, READABLE)
ACCOUNT = Account("trains-bot", ("repo",), NOW + timedelta(days=60))
READY = PullRequest(
    state="open",
    merged=False,
    draft=False,
    conflicts=False,
    reviews={"ada": "APPROVED"},
    checks=(CheckRun("build", "success"), CheckRun("lint", "skipped")),
)
GITHUB = GithubFacts(
    "interlock_github",
    "https://api.github.com",
    ACCOUNT,
    (SEEN,),
    {PULL: READY},
    Limit(5000, 4900, NOW + timedelta(minutes=30)),
)
SERVER = Server(initialized=True, sealed=False, standby=False, version="1.20.4")
TOKEN = Token(("default", "interlock"), timedelta(hours=1), renewable=True, orphan=True)
VAULT = VaultFacts(
    connection="interlock_vault",
    address="http://127.0.0.1:8200",
    namespace="",
    method="approle",
    mounts=Mounts(),
    key=KEY,
    server=SERVER,
    token=TOKEN,
    rights={**NEEDS, **dict.fromkeys(LIMITS, frozenset({"deny"}))},
    secrets={"interlock/service-a": ("api_key", "user")},
    key_type="ed25519",
    audit=("file/",),
    granted={**NEEDS, "sys/capabilities-self": frozenset({"update"}), "cubbyhole/*": frozenset({"read"})},
)
TOOLS = ToolFacts(
    "worker-1",
    {
        "kubectl": Version(1, 34, 1),
        "istioctl": Version(1, 20, 0),
        "vault": Version(1, 20, 4),
        "bao": Version(1, 20, 0),
        "aws": Version(2, 31, 1),
    },
    {
        "kubectl": Version(1, 33, 9),
        "istioctl": Version(1, 20, 3),
        "vault": Version(1, 20, 4),
        "bao": Version(1, 20, 4),
    },
)
STORE = StoreFacts(
    connection="interlock_evidence",
    address="Amazon S3",
    bucket="evidence",
    credentials="valid",
    said="the store takes them for bucket evidence",
    identity="arn:aws:iam::000000000000:user/interlock",
    region="us-east-1",
    found_region="us-east-1",
    fit="",
)


def of(checks: Iterable[Check], code: str) -> Check:
    """The one check of a code, among others."""
    (found,) = [check for check in checks if check.code == code]
    return found


def told(check: Check) -> tuple[str, str]:
    """Its status, and how much it matters where it isn't ok."""
    return check.status, "" if check.status == "ok" else check.severity
