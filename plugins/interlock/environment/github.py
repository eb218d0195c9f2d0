"""Judges what was seen of GitHub: the account, its rights (too few, too many), and pull requests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from interlock.environment.check import At, Check, Unseen
from interlock.environment.expectations import ROLES, GithubEntry
from interlock.environment.github_facts import Account, GithubFacts, Limit, Repository, SeenRepository
from interlock.environment.github_pull_requests import judge_pull_request
from interlock.environment.github_scopes import held, is_administrators

ADMINISTRATIVE: Final = ("administration", "secrets", "webhooks")
"""Permissions of a fine-grained token that no train needs, and that are tried by reading."""
_LOW: Final = 0.1
_TOKEN: Final = "the token of the account"


def judge_github(facts: GithubFacts, wanted: GithubEntry, now: datetime) -> Iterator[Check]:
    """The checks of GitHub.

    Args:
        facts: what was seen.
        wanted: what the file asks for.
        now: the time to judge expiry by.
    """
    at = At(f"{facts.connection}, {facts.address}")
    account = facts.account
    if isinstance(account, Unseen):
        yield _no_account(at, account)
    else:
        yield at.ok("github.account", "active account", f"it is {account.login}")
        yield _expiry(at, account, wanted, now)
        if account.scopes is not None:
            yield from _scopes(at, account.scopes, wanted)
    for repository in facts.repositories:
        yield from _repository(at, repository, wanted)
    for name, found in (facts.pull_requests or {}).items():
        yield from judge_pull_request(at, name, found, wanted.approvals)
    yield _limit(at, facts.limit)


def _no_account(at: At, unseen: Unseen) -> Check:
    if unseen.kind == "refused":
        return at.finding(
            "github.account",
            "active account",
            unseen.why,
            "Make a new token, and put it as the password of the connection",
        )
    fix = "Run the check again once GitHub answers"
    if unseen.kind == "forbidden":
        fix = (
            "Authorise the token for single sign-on where GitHub says so; the token of an app's installation "
            "has no account, so put a user's token into the connection"
        )
    return at.unseen("github.account", "active account", unseen, fix)


def _expiry(at: At, account: Account, wanted: GithubEntry, now: datetime) -> Check:
    code, ends = "github.token-expiry", account.expires_at
    if isinstance(ends, Unseen):
        return at.unseen(code, _TOKEN, ends, "Look at it in GitHub's settings", severity="warning")
    if ends is None:
        return at.finding(
            code,
            _TOKEN,
            "it never expires",
            "Replace it by one with an end, fine-grained if your organisation allows these",
            severity="warning",
        )
    left = ends - now
    said = f"it ends at {ends.isoformat(timespec='minutes')}, in {left.days} days"
    wrong = left < timedelta(days=wanted.expiry_days)
    return at.either(
        not wrong,
        code,
        _TOKEN,
        said,
        wrong=f"{said}; at least {wanted.expiry_days} are wanted (expiry_days)",
        fix="Renew it before the sprint",
        severity="error" if left <= timedelta(days=1) else "warning",
    )


def _scopes(at: At, scopes: tuple[str, ...], wanted: GithubEntry) -> Iterator[Check]:
    has, needs = held(scopes), held(wanted.scopes)
    shown = ", ".join(scopes) or "none"
    missing, more = sorted(set(wanted.scopes) - has), sorted(has - needs)
    yield at.either(
        not missing,
        "github.scopes-missing",
        _TOKEN,
        f"its scopes ({shown}) are enough",
        wrong=f"it lacks {', '.join(missing)}; it has {shown}",
        fix="Add the scopes in GitHub's settings of the token, or take them off `scopes` in the file",
    )
    # What a broader scope brings along is said by that one alone.
    granted = [scope for scope in scopes if scope in more]
    powers = sorted(filter(is_administrators, more))
    yield at.either(
        not more,
        "github.scopes-excessive",
        _TOKEN,
        "no scope is more than needed",
        wrong=f"it has more than it needs: {', '.join(granted)}"
        + (f"; with {', '.join(powers)} it is an administrator's" if powers else ""),
        fix=f"Make one with {', '.join(wanted.scopes) or 'no scopes'} alone, and delete this one",
        severity="error" if powers else "warning",
    )


def _repository(at: At, seen: SeenRepository, wanted: GithubEntry) -> Iterator[Check]:
    found = seen.found
    if isinstance(found, Unseen):
        fix = "Check the name in the file, and give the account access, or the token this repository"
        if found.kind == "missing":
            yield at.finding("github.repository", seen.name, found.why, fix)
        else:
            yield at.unseen("github.repository", seen.name, found, fix)
        return
    yield _standing(at, seen.name, found)
    yield from _roles(at, seen.name, found, wanted)
    yield from _permissions(at, seen, wanted)


def _standing(at: At, name: str, found: Repository) -> Check:
    code = "github.repository"
    if found.archived:
        return at.finding(
            code,
            name,
            "it is archived: nothing can be merged there",
            "Take it off the file, or unarchive it",
        )
    return at.either(
        found.full_name.lower() == name.lower(),
        code,
        name,
        "it is there",
        wrong=f"it is called {found.full_name} now",
        fix="Put the new name in the file",
        severity="warning",
    )


def _roles(at: At, name: str, found: Repository, wanted: GithubEntry) -> Iterator[Check]:
    needed = ROLES.index(wanted.repositories[name].role)
    has = max((ROLES.index(role) for role in ROLES if role in found.roles), default=-1)
    shown = ROLES[has] if has >= 0 else "none"
    yield at.either(
        has >= needed,
        "github.role-missing",
        name,
        f"the account's role is {shown}",
        wrong=f"the account's role is {shown}; {ROLES[needed]} is needed",
        fix="Give it that role in the repository's access settings",
    )
    yield at.either(
        has <= needed,
        "github.role-excessive",
        name,
        f"the account is no more than {ROLES[needed]}",
        wrong=f"the account is {shown} there, and {ROLES[needed]} is enough",
        fix="Lower the role in the repository's access settings, or use another account",
        severity="error" if shown == "admin" else "warning",
    )


def _permissions(at: At, seen: SeenRepository, wanted: GithubEntry) -> Iterator[Check]:
    """What a fine-grained token could read: GitHub tells its permissions nowhere, so each is tried."""
    if not seen.readable:
        return
    unseen = [found for found in seen.readable.values() if isinstance(found, Unseen)]
    missing = [name for name in wanted.permissions if seen.readable.get(name) is False]
    more = [name for name in ADMINISTRATIVE if seen.readable.get(name) is True]
    fix = "Edit the token's repository permissions in GitHub's settings"
    for code, wrong, said in (
        ("github.permissions-missing", missing, f"it can read {', '.join(wanted.permissions)}"),
        ("github.permissions-excessive", more, f"it can't read {', '.join(ADMINISTRATIVE)}"),
    ):
        what = f"the token's permissions on {seen.name}"
        if wrong:
            word = "it can't read" if wrong is missing else "it can read what it doesn't need:"
            yield at.finding(code, what, f"{word} {', '.join(wrong)}", fix)
        elif unseen:
            yield at.unseen(code, what, unseen[0], "Run the check again once GitHub answers")
        else:
            yield at.ok(code, what, said)


def _limit(at: At, limit: Limit | None) -> Check:
    code, what = "github.rate-limit", "rate limit"
    if limit is None:
        return at.unseen(
            code, what, Unseen("no answer told it"), "Nothing, if it is switched off there", severity="note"
        )
    said = f"{limit.remaining} of {limit.limit} requests are left until {limit.resets_at:%H:%M} UTC"
    return at.either(
        limit.remaining >= _LOW * limit.limit,
        code,
        what,
        said,
        wrong=said,
        fix="Find out what else uses this account, and give the trains one of their own",
        severity="warning",
    )
