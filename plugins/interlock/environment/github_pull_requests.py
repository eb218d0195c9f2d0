"""Judges a sprint's pull requests: is each merged, or ready to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from interlock.environment.check import At, Check, Unseen
from interlock.environment.github_facts import CheckRun, PullRequest, ReviewState

GOOD: Final = frozenset({"success", "neutral", "skipped"})
PENDING: Final = frozenset({"pending", "queued", "in_progress", "waiting", "requested", "expected"})
_HELD: Final = {
    "blocked": "a rule of its base keeps it from being merged, such as CODEOWNERS or a required check",
    "behind": "it is behind its base, which wants it up to date",
}
"""GitHub works them out for whose token asks: an account that may not merge can see `blocked` for that."""


def judge_pull_request(at: At, name: str, found: PullRequest | Unseen, approvals: int) -> Iterator[Check]:
    """The checks of one pull request; of one that was merged, only that it was.

    Args:
        at: where it was seen.
        name: such as owner/name#12.
        found: what was seen.
        approvals: how many it needs.
    """
    code = "github.pull-request"
    if isinstance(found, Unseen):
        fix = "Check the number, and the token's access to pull requests"
        if found.kind == "missing":
            yield at.finding(code, name, found.why, fix)
        else:
            yield at.unseen(code, name, found, fix)
        return
    if found.merged:
        yield at.ok(code, name, "it was merged")
        return
    wrong = _state(found)
    if not wrong and isinstance(found.conflicts, Unseen):
        yield at.unseen(code, name, found.conflicts, "Run the check again in a minute")
    else:
        yield at.either(
            not wrong,
            code,
            name,
            "it is open, without conflicts",
            wrong=wrong,
            fix="Bring it to where it can be merged, or take it off the sprint",
        )
    if found.state == "open":
        if held := _HELD.get(found.merge_state):
            fix = "Look at the rules of its base, and at what they still want of it"
            yield at.finding("github.merge-rules", name, held, fix, severity="warning")
        yield _reviews(at, name, found.reviews, approvals)
        yield _checks(at, name, found.checks)


def _state(found: PullRequest) -> str:
    if found.state != "open":
        return "it was closed without being merged"
    if found.draft:
        return "it is a draft"
    return "it has conflicts with its base" if found.conflicts is True else ""


def _reviews(at: At, name: str, reviews: Mapping[str, ReviewState] | Unseen, approvals: int) -> Check:
    code = "github.reviews"
    if isinstance(reviews, Unseen):
        return at.unseen(code, name, reviews, "Give the token the permission to read pull requests")
    against = sorted(who for who, state in reviews.items() if state == "CHANGES_REQUESTED")
    approved = sorted(who for who, state in reviews.items() if state == "APPROVED")
    if against:
        return at.finding(
            code, name, f"changes are requested by {', '.join(against)}", "Settle them with who asked"
        )
    outside = sorted(who for who, state in reviews.items() if state == "OUTSIDER")
    said = f"approved by {', '.join(approved) or 'nobody'}"
    if outside:
        said += f"; {', '.join(outside)}, neither member nor collaborator, don't count"
    return at.either(
        len(approved) >= approvals,
        code,
        name,
        said,
        wrong=f"{said}; {approvals} approvals are needed",
        fix="Ask for a review",
    )


def _checks(at: At, name: str, checks: tuple[CheckRun, ...] | Unseen) -> Check:
    code = "github.checks"
    if isinstance(checks, Unseen):
        return at.unseen(code, name, checks, "Give the token the permissions to read checks and statuses")
    failed = sorted(f"{one.name} ({one.state})" for one in checks if one.state not in GOOD | PENDING)
    pending = sorted(one.name for one in checks if one.state in PENDING)
    if failed:
        return at.finding(code, name, f"failed: {', '.join(failed)}", "Mend what fails")
    if pending:
        return at.finding(code, name, f"still running: {', '.join(pending)}", "Wait, and check again")
    return at.either(
        bool(checks),
        code,
        name,
        f"all of {len(checks)} passed",
        wrong="no check ran on its last commit",
        fix="Find out why none ran, or merge it knowingly",
        severity="warning",
    )
