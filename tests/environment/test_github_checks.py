"""Each check of GitHub, in order and not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from good_environment import (
    ACCOUNT,
    GITHUB,
    NAME,
    NOW,
    PULL,
    READABLE,
    READY,
    REPOSITORY,
    SEEN,
    expectations,
    of,
    told,
)

from interlock.environment.check import Check, Unseen
from interlock.environment.github import judge_github
from interlock.environment.github_facts import CheckRun, GithubFacts, Limit
from interlock.environment.github_scopes import held

AWAY, REFUSED = Unseen("no answer"), Unseen("401: Bad credentials", "refused")
FORBIDDEN, MISSING = Unseen("403", "forbidden"), Unseen("404", "missing")


def judged(facts: GithubFacts, **github: Any) -> list[Check]:
    wanted = expectations(github={"repositories": {NAME: {}}, **github}).github
    assert wanted is not None
    return list(judge_github(facts, wanted, NOW))


def account(**changes: Any) -> GithubFacts:
    return replace(GITHUB, account=replace(ACCOUNT, **changes))


def no_account(unseen: Unseen) -> GithubFacts:
    return replace(GITHUB, account=unseen)


def repository(**changes: Any) -> GithubFacts:
    seen = replace(SEEN, readable={}, found=replace(REPOSITORY, **changes))
    return replace(GITHUB, repositories=(seen,))


def no_repository(unseen: Unseen) -> GithubFacts:
    return replace(GITHUB, repositories=(replace(SEEN, found=unseen),))


def permissions(**changes: Any) -> GithubFacts:
    seen = replace(SEEN, readable={**READABLE, **changes})
    return replace(GITHUB, account=replace(ACCOUNT, scopes=None), repositories=(seen,))


def pull_request(**changes: Any) -> GithubFacts:
    return replace(GITHUB, pull_requests={PULL: replace(READY, **changes)})


def no_pull_request(unseen: Unseen) -> GithubFacts:
    return replace(GITHUB, pull_requests={PULL: unseen})


def test_where_all_is_in_order_each_check_is_ok() -> None:
    checks = judged(GITHUB)
    assert [str(check) for check in checks if check.status != "ok"] == []
    assert {check.code for check in checks} == {
        f"github.{name}"
        for name in (
            *("account", "token-expiry", "scopes-missing", "scopes-excessive", "repository"),
            *("role-missing", "role-excessive", "permissions-missing", "permissions-excessive"),
            *("pull-request", "reviews", "checks", "rate-limit"),
        )
    }


ERROR, WARNING = ("finding", "error"), ("finding", "warning")
UNSEEN = ("not-checked", "error")


@pytest.mark.parametrize(
    ("facts", "code", "expected", "said"),
    [
        (no_account(REFUSED), "account", ERROR, "Bad credentials"),
        (no_account(AWAY), "account", UNSEEN, "no answer"),
        (no_account(FORBIDDEN), "account", UNSEEN, "403"),
        (account(expires_at=None), "token-expiry", WARNING, "never expires"),
        (account(expires_at=NOW + timedelta(days=13)), "token-expiry", WARNING, "13 days; at least 14 are"),
        (account(expires_at=NOW + timedelta(hours=20)), "token-expiry", ERROR, "in 0 days"),
        (account(expires_at=AWAY), "token-expiry", ("not-checked", "warning"), "no answer"),
        (account(scopes=("public_repo",)), "scopes-missing", ERROR, "lacks repo; it has public_repo"),
        (account(scopes=("repo", "gist")), "scopes-excessive", WARNING, "more than it needs: gist"),
        (account(scopes=("repo", "admin:org")), "scopes-excessive", ERROR, "it is an administrator's"),
        (account(scopes=("repo", "delete_repo")), "scopes-excessive", ERROR, "it is an administrator's"),
        (no_repository(MISSING), "repository", ERROR, "404"),
        (no_repository(FORBIDDEN), "repository", UNSEEN, "403"),
        (repository(archived=True), "repository", ERROR, "archived"),
        (repository(full_name="owner/renamed"), "repository", WARNING, "called owner/renamed now"),
        (repository(roles=frozenset()), "role-missing", ERROR, "role is none; pull is needed"),
        (
            repository(roles=frozenset({"pull", "push"})),
            "role-excessive",
            WARNING,
            "is push there, and pull is",
        ),
        (repository(roles=frozenset({"pull", "admin"})), "role-excessive", ERROR, "is admin there"),
        (permissions(checks=False), "permissions-missing", ERROR, "can't read checks"),
        (permissions(checks=AWAY), "permissions-missing", UNSEEN, "no answer"),
        (permissions(secrets=True), "permissions-excessive", ERROR, "what it doesn't need: secrets"),
        (permissions(webhooks=AWAY), "permissions-excessive", UNSEEN, "no answer"),
        (no_pull_request(MISSING), "pull-request", ERROR, "404"),
        (no_pull_request(AWAY), "pull-request", UNSEEN, "no answer"),
        (pull_request(state="closed"), "pull-request", ERROR, "closed without being merged"),
        (pull_request(draft=True), "pull-request", ERROR, "draft"),
        (pull_request(conflicts=True), "pull-request", ERROR, "conflicts"),
        (pull_request(conflicts=AWAY), "pull-request", UNSEEN, "no answer"),
        (pull_request(merge_state="blocked"), "merge-rules", WARNING, "a rule of its base"),
        (pull_request(merge_state="behind"), "merge-rules", WARNING, "behind its base"),
        (pull_request(reviews={"eve": "OUTSIDER"}), "reviews", ERROR, "approved by nobody; eve, neither"),
        (pull_request(reviews={}), "reviews", ERROR, "nobody; 1 approvals are needed"),
        (
            pull_request(reviews={"ada": "APPROVED", "ben": "CHANGES_REQUESTED"}),
            "reviews",
            ERROR,
            "requested by ben",
        ),
        (pull_request(reviews={"ada": "DISMISSED"}), "reviews", ERROR, "nobody"),
        (pull_request(reviews=FORBIDDEN), "reviews", UNSEEN, "403"),
        (
            pull_request(checks=(CheckRun("build", "timed_out"), CheckRun("lint", "pending"))),
            "checks",
            ERROR,
            "failed: build (timed_out)",
        ),
        (pull_request(checks=(CheckRun("build", "in_progress"),)), "checks", ERROR, "still running: build"),
        (pull_request(checks=()), "checks", WARNING, "no check ran"),
        (pull_request(checks=FORBIDDEN), "checks", UNSEEN, "403"),
        (replace(GITHUB, limit=Limit(5000, 499, NOW)), "rate-limit", WARNING, "499 of 5000 requests"),
        (replace(GITHUB, limit=None), "rate-limit", ("not-checked", "note"), "no answer told it"),
    ],
)
def test_each_thing_that_is_wrong_is_told(
    facts: GithubFacts, code: str, expected: tuple[str, str], said: str
) -> None:
    found = of(judged(facts), f"github.{code}")
    assert told(found) == expected
    assert said in found.said
    assert found.fix
    assert found.where == "interlock_github, https://api.github.com"


def test_what_a_broader_scope_brings_along_is_named_once() -> None:
    found = of(judged(account(scopes=("repo", "user", "read:user"))), "github.scopes-excessive")
    assert "more than it needs: user, read:user" in found.said
    assert "user:email" not in found.said


def test_a_scope_holds_all_below_it() -> None:
    assert held(["admin:org"]) == {"admin:org", "write:org", "read:org", "manage_runners:org"}
    assert of(judged(GITHUB, scopes=["repo:status"]), "github.scopes-missing").status == "ok"


def test_a_fine_grained_token_has_no_scopes_and_a_classic_one_no_permissions() -> None:
    fine, classic = judged(permissions()), judged(repository())
    assert not [check for check in fine if "scopes" in check.code]
    assert not [check for check in classic if "permissions" in check.code]


def test_a_merged_pull_request_needs_nothing_more() -> None:
    checks = judged(pull_request(state="closed", merged=True, reviews={}, checks=()))
    assert of(checks, "github.pull-request").status == "ok"
    assert not [check for check in checks if check.code in ("github.reviews", "github.checks")]


def test_a_role_that_is_needed_is_not_too_much() -> None:
    facts = repository(roles=frozenset({"pull", "triage", "push"}))
    checks = judged(facts, repositories={NAME: {"role": "push"}})
    assert of(checks, "github.role-missing").status == of(checks, "github.role-excessive").status == "ok"
