"""Looks at GitHub as an environment check needs it; what can't be looked at is told as such."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

from interlock.clients.github import (
    GithubClient,
    GithubError,
    GithubForbidden,
    GithubMissing,
    GithubRefused,
)
from interlock.clients.github_settings import GithubSettings
from interlock.environment.check import Unseen
from interlock.environment.expectations import PULL_REQUEST
from interlock.environment.github_facts import (
    Account,
    CheckRun,
    GithubFacts,
    PullRequest,
    Repository,
    ReviewState,
    SeenRepository,
)

# What needs each permission of a fine-grained token, to read; docs.github.com, "Permissions required for
# fine-grained personal access tokens".
PROBES: Final[Mapping[str, str]] = {
    "contents": "commits",
    "pull_requests": "pulls",
    "checks": "commits/HEAD/check-runs",
    "statuses": "commits/HEAD/status",
    "administration": "keys",
    "secrets": "actions/secrets",
    "webhooks": "hooks",
}
_REVIEWS: Final[Mapping[str, ReviewState]] = {
    "APPROVED": "APPROVED",
    "CHANGES_REQUESTED": "CHANGES_REQUESTED",
    "DISMISSED": "DISMISSED",
}
_INSIDERS: Final = ("OWNER", "MEMBER", "COLLABORATOR")
_MERGE_PAUSES_SECONDS: Final = (1.0, 2.0, 3.0)
"""GitHub works out in the background whether a pull request can be merged, once somebody asks."""
_EXPIRY_FORMATS: Final = ("%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M:%S %z")

T = TypeVar("T")


def look_at_github(
    name: str,
    settings: GithubSettings,
    repositories: Iterable[str],
    pull_requests: Iterable[str],
    *,
    client: Callable[[GithubSettings], GithubClient] = GithubClient,
) -> GithubFacts:
    """All that is seen of an account, repositories and pull requests.

    Args:
        name: the connection's.
        settings: where GitHub is, and who asks.
        repositories: `owner/name`.
        pull_requests: `owner/name#12`.
        client: makes the client.
    """
    with client(settings) as github:
        account = _seen(lambda: _account(github))
        if isinstance(account, Unseen) and account.kind in ("refused", "away"):
            # Each further request would say the same, at the same price.
            return GithubFacts(
                name,
                settings.address,
                account,
                tuple(SeenRepository(repository, account, {}) for repository in repositories),
                dict.fromkeys(pull_requests, account),
                github.limit,
            )
        fine_grained = isinstance(account, Account) and account.scopes is None
        return GithubFacts(
            name,
            settings.address,
            account,
            tuple(_repository(github, repository, fine_grained) for repository in repositories),
            {one: _seen(partial(_pull_request, github, one)) for one in pull_requests},
            github.limit,
        )


def _seen(look: Callable[[], T]) -> T | Unseen:
    try:
        return look()
    except GithubRefused as error:
        return Unseen(str(error), "refused")
    except GithubForbidden as error:
        return Unseen(str(error), "forbidden")
    except GithubMissing as error:
        return Unseen(str(error), "missing")
    except GithubError as error:
        return Unseen(str(error))


def _account(github: GithubClient) -> Account:
    told, headers = github.get("/user")
    scopes = headers.get("x-oauth-scopes")
    return Account(
        login=str(told.get("login", "")),
        scopes=None if scopes is None else tuple(part.strip() for part in scopes.split(",") if part.strip()),
        expires_at=_expiry(headers.get("github-authentication-token-expiration", "")),
    )


def _expiry(text: str) -> datetime | Unseen | None:
    if not text:
        return None
    for shape in _EXPIRY_FORMATS:
        with suppress(ValueError):
            found = datetime.strptime(text, shape)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    return Unseen(f"GitHub tells its end in a form that isn't known: {text!r}")


def _repository(github: GithubClient, name: str, fine_grained: bool) -> SeenRepository:
    def found() -> Repository:
        told, _ = github.get(f"/repos/{name}")
        roles = frozenset(role for role, has in (told.get("permissions") or {}).items() if has is True)
        return Repository(str(told.get("full_name", name)), bool(told.get("archived")), roles)

    repository = _seen(found)
    readable: dict[str, bool | Unseen] = {}
    if fine_grained and isinstance(repository, Repository):
        readable["metadata"] = True
        for permission, path in PROBES.items():
            readable[permission] = _seen(partial(github.can_read, f"/repos/{name}/{path}"))
    return SeenRepository(name, repository, readable)


def _pull_request(github: GithubClient, name: str) -> PullRequest:
    named = PULL_REQUEST.fullmatch(name)
    if named is None:
        raise GithubMissing(f"{name} names no pull request: expected owner/name#12")
    repository, number = f"/repos/{named[1]}", named[2]
    told = _worked_out(github, f"{repository}/pulls/{number}")
    commit = str((told.get("head") or {}).get("sha", ""))
    mergeable = told.get("mergeable")
    return PullRequest(
        state=str(told.get("state", "")),
        merged=bool(told.get("merged")),
        draft=bool(told.get("draft")),
        conflicts=Unseen("GitHub hasn't worked out yet whether it has conflicts")
        if mergeable is None
        else not mergeable,
        reviews=_seen(lambda: _reviews(github.items(f"{repository}/pulls/{number}/reviews"))),
        checks=_seen(lambda: _checks(github, f"{repository}/commits/{commit}")),
        merge_state=str(told.get("mergeable_state", "")),
    )


def _worked_out(github: GithubClient, path: str) -> Mapping[str, Any]:
    """A pull request; of an open one with the answer whether it can be merged, if that comes soon."""
    told, _ = github.get(path)
    for seconds in _MERGE_PAUSES_SECONDS:
        if told.get("mergeable") is not None or told.get("state") != "open" or not github.pause(seconds):
            break
        told, _ = github.get(path)
    return told


def _reviews(told: Iterable[Mapping[str, Any]]) -> dict[str, ReviewState]:
    """By reviewer the last review that says yes or no: a comment takes nothing back."""
    found: dict[str, ReviewState] = {}
    for review in told:
        who = str((review.get("user") or {}).get("login", "ghost"))
        if state := _REVIEWS.get(str(review.get("state"))):
            found[who] = state if review.get("author_association") in _INSIDERS else "OUTSIDER"
    return found


def _checks(github: GithubClient, commit: str) -> tuple[CheckRun, ...]:
    """Check runs and commit statuses, which are two ways to say the same."""
    runs = [
        CheckRun(
            str(run.get("name", "")),
            str((run.get("conclusion") if run.get("status") == "completed" else run.get("status")) or ""),
        )
        for run in github.items(f"{commit}/check-runs", "check_runs")
    ]
    statuses = [
        CheckRun(str(status.get("context", "")), str(status.get("state", "")))
        for status in github.items(f"{commit}/status", "statuses")
    ]
    return (*runs, *statuses)
