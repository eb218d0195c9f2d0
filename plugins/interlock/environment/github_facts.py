"""What was seen of GitHub: the account and its token, repositories, and a sprint's pull requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from interlock.environment.check import Unseen

ReviewState = Literal["APPROVED", "CHANGES_REQUESTED", "DISMISSED", "OUTSIDER"]
"""GitHub's own, and `OUTSIDER`: who is neither owner, member nor collaborator has no say in a merge."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who the token belongs to.

    Attributes:
        login: the account's name.
        scopes: a classic token's scopes; None where the answer names none: a fine-grained token has
            permissions instead.
        expires_at: when the token ends; None where GitHub doesn't say: it has no end.
    """

    login: str
    scopes: tuple[str, ...] | None
    expires_at: datetime | Unseen | None


@dataclass(frozen=True, slots=True)
class Limit:
    """The primary rate limit, as the last answer told it."""

    limit: int
    remaining: int
    resets_at: datetime


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository as the account sees it.

    Attributes:
        full_name: its name as GitHub tells it, another one after a renaming.
        archived: whether it is read-only.
        roles: the account's roles there (`pull`, `triage`, `push`, `maintain`, `admin`).
    """

    full_name: str
    archived: bool
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class SeenRepository:
    """A repository that the file lists, and which permissions a fine-grained token showed there.

    Attributes:
        name: its name in the file.
        found: what GitHub says of it.
        readable: by permission, whether something that needs it could be read; empty for a classic token.
    """

    name: str
    found: Repository | Unseen
    readable: Mapping[str, bool | Unseen]


@dataclass(frozen=True, slots=True)
class CheckRun:
    """One check or commit status of a commit: `success`, `failure`, `pending` or GitHub's other words."""

    name: str
    state: str


@dataclass(frozen=True, slots=True)
class PullRequest:
    """One pull request.

    Attributes:
        state: `open` or `closed`.
        merged: whether it was merged.
        draft: whether it is a draft.
        conflicts: whether it can't be merged for conflicts; Unseen: GitHub hasn't worked it out.
        merge_state: GitHub's own word on merging it, such as `clean`, `blocked` or `behind`.
        reviews: by reviewer, the last review that counts.
        checks: of its last commit.
    """

    state: str
    merged: bool
    draft: bool
    conflicts: bool | Unseen
    reviews: Mapping[str, ReviewState] | Unseen
    checks: tuple[CheckRun, ...] | Unseen
    merge_state: str = "clean"


@dataclass(frozen=True, slots=True)
class GithubFacts:
    """All that was seen.

    Attributes:
        connection: the Airflow connection.
        address: the API's URL.
        account: whose token it is.
        repositories: those that the file lists.
        pull_requests: by name, `owner/name#12`.
        limit: None where no answer told it.
    """

    connection: str
    address: str
    account: Account | Unseen
    repositories: tuple[SeenRepository, ...] = ()
    pull_requests: Mapping[str, PullRequest | Unseen] | None = None
    limit: Limit | None = None
