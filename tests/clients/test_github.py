"""GitHub's client, and what is seen through it, against a server that answers as the documented API does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from interlock.clients.github import (
    GithubClient,
    GithubError,
    GithubForbidden,
    GithubInvalid,
    GithubMissing,
    GithubRefused,
    GithubUnavailable,
)
from interlock.clients.github_look import look_at_github
from interlock.clients.github_settings import GithubSettings
from interlock.connections import Connection, ConnectionMissing
from interlock.environment.check import Unseen
from interlock.environment.github_facts import Account, CheckRun, GithubFacts, PullRequest
from tests.clients.github_server import TOKEN, Answer, FakeGithub, failure, running_github

NOW = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
SOON = str(int((NOW + timedelta(seconds=20)).timestamp()))
NAME, PULL = "owner/service-a", "owner/service-a#12"


@pytest.fixture
def github() -> Iterator[FakeGithub]:
    with running_github() as server:
        server.repository(NAME, "pull")
        server.pull_request(NAME, 12, ("ada", "APPROVED"))
        server.checks(NAME, "c0ffee", ("build", "completed", "success"), lint="success")
        yield server


class Clock:
    """Sleeps at once, and counts it."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def now(self) -> datetime:
        return NOW + timedelta(seconds=sum(self.slept))


def client(github: FakeGithub, clock: Clock, timeout: float = 5.0, patience: float = 45.0) -> GithubClient:
    settings = GithubSettings(github.address, TOKEN, timeout, patience)
    return GithubClient(settings, sleep=clock.sleep, now=clock.now)


def look(github: FakeGithub, token: str = TOKEN, patience: float = 45.0) -> GithubFacts:
    clock = Clock()
    made = partial(GithubClient, sleep=clock.sleep, now=clock.now)
    settings = GithubSettings(github.address, token, 5.0, patience)
    return look_at_github("interlock_github", settings, [NAME], [PULL], client=made)


# What is seen


def test_all_of_a_good_account_is_seen(github: FakeGithub) -> None:
    facts = look(github)
    assert facts.account == Account("trains-bot", ("repo",), datetime(2027, 1, 24, 10, tzinfo=UTC))
    (repository,) = facts.repositories
    assert not isinstance(repository.found, Unseen)
    assert (repository.found.full_name, repository.found.archived, repository.found.roles) == (
        NAME,
        False,
        frozenset({"pull"}),
    )
    assert repository.readable == {}
    checks = (CheckRun("build", "success"), CheckRun("lint", "success"))
    assert facts.pull_requests == {
        PULL: PullRequest("open", False, False, False, {"ada": "APPROVED"}, checks)
    }
    assert facts.limit is not None
    assert (facts.limit.limit, facts.limit.remaining) == (5000, 4990)


def test_a_fine_grained_tokens_permissions_are_tried_by_reading(github: FakeGithub) -> None:
    github.scopes = None
    github.answers[f"/repos/{NAME}/keys"] = []
    github.faults[f"/repos/{NAME}/hooks"] = [failure(403, "Resource not accessible by personal access token")]
    github.faults[f"/repos/{NAME}/commits"] = [failure(500, "oops")]
    (repository,) = look(github).repositories
    assert repository.readable["pull_requests"] is repository.readable["administration"] is True
    assert repository.readable["webhooks"] is repository.readable["secrets"] is False
    assert isinstance(repository.readable["contents"], Unseen)


@pytest.mark.parametrize(
    ("header", "ends"),
    [
        ("2027-01-24 10:00:00 +0200", datetime(2027, 1, 24, 8, tzinfo=UTC)),
        ("", None),
        ("tomorrow", Unseen("GitHub tells its end in a form that isn't known: 'tomorrow'")),
    ],
)
def test_a_tokens_end_is_read_or_said_to_be_unknown(
    github: FakeGithub, header: str, ends: datetime | Unseen | None
) -> None:
    github.expires = header
    account = look(github).account
    assert isinstance(account, Account)
    assert account.expires_at == ends


@pytest.mark.parametrize(("header", "scopes"), [("", ()), ("repo, read:org", ("repo", "read:org"))])
def test_a_classic_token_without_scopes_is_still_classic(
    github: FakeGithub, header: str, scopes: tuple[str, ...]
) -> None:
    github.scopes = header
    account = look(github).account
    assert isinstance(account, Account)
    assert account.scopes == scopes


def test_the_last_review_that_says_yes_or_no_counts(github: FakeGithub) -> None:
    reviews = (("ada", "CHANGES_REQUESTED"), ("ben", "APPROVED"), ("ada", "APPROVED"), ("ada", "COMMENTED"))
    github.pull_request(NAME, 12, *reviews, ("ben", "DISMISSED"), ("cy", "COMMENTED"))
    pull_request = (look(github).pull_requests or {})[PULL]
    assert isinstance(pull_request, PullRequest)
    assert pull_request.reviews == {"ada": "APPROVED", "ben": "DISMISSED"}


def test_who_may_not_merge_there_has_no_say(github: FakeGithub) -> None:
    github.pull_request(NAME, 12, ("ada", "APPROVED"), ("eve", "APPROVED"), ("mal", "CHANGES_REQUESTED"))
    _, eve, mal = github.answers[f"/repos/{NAME}/pulls/12/reviews"]
    eve["author_association"], mal["author_association"] = "CONTRIBUTOR", "NONE"
    pull_request = (look(github).pull_requests or {})[PULL]
    assert isinstance(pull_request, PullRequest)
    assert pull_request.reviews == {"ada": "APPROVED", "eve": "OUTSIDER", "mal": "OUTSIDER"}


def test_a_pull_request_that_github_still_works_on_is_asked_for_again(github: FakeGithub) -> None:
    path = f"/repos/{NAME}/pulls/12"
    told = github.answers[path]
    unknown = Answer(200, told | {"mergeable": None, "mergeable_state": "unknown"})
    blocked = Answer(200, told | {"mergeable_state": "blocked"})
    github.faults[path] = [unknown, unknown, blocked]
    pull_request = (look(github).pull_requests or {})[PULL]
    assert isinstance(pull_request, PullRequest)
    assert (pull_request.conflicts, pull_request.merge_state) == (False, "blocked")


@pytest.mark.parametrize(("patience", "requests"), [(45.0, 4), (0.9, 1)])
def test_what_github_does_not_work_out_in_time_is_unseen(
    github: FakeGithub, patience: float, requests: int
) -> None:
    github.pull_request(NAME, 12, mergeable=None)
    pull_request = (look(github, patience=patience).pull_requests or {})[PULL]
    assert isinstance(pull_request, PullRequest)
    assert isinstance(pull_request.conflicts, Unseen)
    assert sum(path.startswith(f"/repos/{NAME}/pulls/12") for path in github.asked) == requests + 1


def test_a_closed_pull_request_is_not_waited_for(github: FakeGithub) -> None:
    github.pull_request(NAME, 12, mergeable=None, state="closed", merged=True)
    look(github)
    assert github.asked.count(f"/repos/{NAME}/pulls/12") == 1


def test_an_empty_repository_is_one_that_can_be_read(github: FakeGithub) -> None:
    github.scopes = None
    github.faults[f"/repos/{NAME}/commits"] = [failure(409, "Git Repository is empty.")]
    for path in ("check-runs", "status"):
        github.faults[f"/repos/{NAME}/commits/HEAD/{path}"] = [failure(422, "No commit found for SHA: HEAD")]
    (repository,) = look(github).repositories
    assert [repository.readable[one] for one in ("contents", "checks", "statuses")] == [True] * 3


def test_all_pages_of_a_list_are_read(github: FakeGithub) -> None:
    reviews = [(f"user-{n}", "APPROVED") for n in range(230)]
    github.pull_request(NAME, 12, *reviews, mergeable=False)
    pull_request = (look(github).pull_requests or {})[PULL]
    assert isinstance(pull_request, PullRequest)
    assert not isinstance(pull_request.reviews, Unseen)
    assert len(pull_request.reviews) == 230
    assert pull_request.conflicts is True


def test_a_list_that_is_too_long_is_not_read_in_part(github: FakeGithub) -> None:
    github.pull_request(NAME, 12, *[("ada", "APPROVED")] * 1001)
    pull_request = (look(github).pull_requests or {})[PULL]
    assert isinstance(pull_request, PullRequest)
    assert isinstance(pull_request.reviews, Unseen)
    assert "more than 1000 items" in pull_request.reviews.why


def test_checks_of_which_one_half_may_not_be_seen_are_unseen(github: FakeGithub) -> None:
    github.faults[f"/repos/{NAME}/commits/c0ffee/status"] = [
        failure(403, "Resource not accessible", x_accepted_github_permissions="statuses=read")
    ]
    pull_request = (look(github).pull_requests or {})[PULL]
    assert isinstance(pull_request, PullRequest)
    assert isinstance(pull_request.checks, Unseen)
    assert pull_request.checks.kind == "forbidden"
    assert "it takes statuses=read" in pull_request.checks.why


def test_a_repository_that_moved_is_seen_where_it_is_now(github: FakeGithub) -> None:
    github.repository("owner/renamed", "pull")
    moved = {"location": f"{github.address}/repos/owner/renamed"}
    github.faults[f"/repos/{NAME}"] = [Answer(301, {"message": "Moved Permanently"}, moved)]
    (repository,) = look(github).repositories
    assert not isinstance(repository.found, Unseen)
    assert repository.found.full_name == "owner/renamed"


def test_another_host_does_not_get_the_token(github: FakeGithub) -> None:
    with running_github() as elsewhere:
        elsewhere.repository(NAME, "pull")
        moved = {"location": f"{elsewhere.address}/repos/{NAME}"}
        github.faults[f"/repos/{NAME}"] = [Answer(302, {"message": "Found"}, moved)]
        (repository,) = look(github).repositories
    assert isinstance(repository.found, Unseen)
    assert repository.found.kind == "refused"
    assert elsewhere.tokens == [""]


@pytest.mark.parametrize(
    ("fault", "kind", "requests"),
    [
        (failure(401, "Bad credentials"), "refused", 1),
        (failure(502, "Bad gateway"), "away", 4),
        (failure(403, "Resource not accessible by integration"), "forbidden", None),
    ],
)
def test_without_an_account_the_rest_is_asked_only_if_it_may_be_answered(
    github: FakeGithub, fault: Answer, kind: str, requests: int | None
) -> None:
    github.faults["/user"] = [fault]
    facts = look(github)
    assert isinstance(facts.account, Unseen)
    assert facts.account.kind == kind
    found = [facts.repositories[0].found, (facts.pull_requests or {})[PULL]]
    assert [isinstance(one, Unseen) for one in found] == [requests is not None] * 2
    assert requests is None or len(github.asked) == requests


# Faults


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (
            failure(401, "Bad credentials"),
            GithubRefused,
            "401: GitHub doesn't take the token (Bad credentials)",
        ),
        (failure(403, "Must have admin rights"), GithubForbidden, "Must have admin rights"),
        (
            failure(403, "Resource protected by organization SAML", x_github_sso="required; url=https://x"),
            GithubForbidden,
            "single sign-on is wanted",
        ),
        (failure(404, "Not Found"), GithubMissing, "nothing that this token may see"),
        (failure(451, "DMCA"), GithubMissing, "nothing that this token may see"),
        (failure(422, "No commit found"), GithubInvalid, "422: GitHub can't answer that (No commit found)"),
        (failure(500, "Server Error"), GithubUnavailable, "500: GitHub fails (Server Error)"),
        (Answer(503, "<html>", {"content-type": "text/html"}), GithubUnavailable, "503: GitHub fails"),
        (Answer(200, "<html>", {"content-type": "text/html"}), GithubUnavailable, "got text/html"),
        (Answer(200, ["a list"]), GithubUnavailable, "expected JSON of GitHub"),
    ],
)
def test_each_fault_is_told_as_what_it_is(
    github: FakeGithub, fault: Answer, error: type[GithubError], said: str
) -> None:
    github.faults["/user"] = [fault]
    with client(github, Clock()) as one, pytest.raises(error) as failed:
        one.get("/user")
    assert said in str(failed.value)
    assert TOKEN not in str(failed.value)


@pytest.mark.parametrize("status", [400, 409, 422])
def test_what_makes_no_sense_is_not_asked_again(github: FakeGithub, status: int) -> None:
    github.faults["/user"] = [failure(status, "no")]
    with client(github, Clock()) as one, pytest.raises(GithubInvalid):
        one.get("/user")
    assert len(github.asked) == 1


def test_a_failure_that_passes_is_asked_again(github: FakeGithub) -> None:
    clock = Clock()
    github.faults["/user"] = [failure(502, "Bad Gateway"), failure(503, "busy"), Answer(200, {"login": "x"})]
    with client(github, clock) as one:
        assert one.get("/user")[0]["login"] == "x"
    assert clock.slept == [0.5, 1.0]


def test_it_waits_as_long_as_a_secondary_limit_says(github: FakeGithub) -> None:
    clock = Clock()
    limited = failure(403, "You have exceeded a secondary rate limit", retry_after="7")
    github.faults["/user"] = [limited, Answer(200, {"login": "x"})]
    with client(github, clock) as one:
        assert one.get("/user")[0]["login"] == "x"
    assert clock.slept == [7.0]


def test_it_waits_until_a_primary_limit_ends(github: FakeGithub) -> None:
    clock = Clock()
    spent = {"x_ratelimit_limit": "60", "x_ratelimit_remaining": "0", "x_ratelimit_reset": SOON}
    github.faults["/user"] = [failure(429, "API rate limit exceeded", **spent), Answer(200, {"login": "x"})]
    with client(github, clock) as one:
        assert one.get("/user")[0]["login"] == "x"
    assert clock.slept == [21.0]


@pytest.mark.parametrize(
    "headers",
    [
        {"retry_after": "3600"},
        {"x_ratelimit_limit": "60", "x_ratelimit_remaining": "0", "x_ratelimit_reset": "1800000000"},
        {},
    ],
)
def test_it_does_not_wait_for_longer_than_its_patience(github: FakeGithub, headers: dict[str, str]) -> None:
    clock = Clock()
    github.faults["/user"] = [failure(403, "You have exceeded a secondary rate limit", **headers)]
    with client(github, clock) as one, pytest.raises(GithubUnavailable, match="the rate limit is reached"):
        one.get("/user")
    assert clock.slept == []
    with pytest.raises(GithubUnavailable, match="not asked"):
        one.get(f"/repos/{NAME}")
    assert len(github.asked) == 1


def test_a_server_that_is_too_slow_is_given_up(github: FakeGithub) -> None:
    github.faults["/user"] = [failure(200, "late", seconds=0.6)]
    with client(github, Clock(), timeout=0.2) as one, pytest.raises(GithubUnavailable, match="ReadTimeout"):
        one.get("/user")


def test_the_patience_is_that_of_all_requests_together(github: FakeGithub) -> None:
    clock = Clock()
    github.faults["/user"] = [failure(502, "Bad Gateway")]
    with client(github, clock, patience=4.0) as one:
        for _ in range(2):
            with pytest.raises(GithubUnavailable, match="502"):
                one.get("/user")
        asked = len(github.asked)
        with pytest.raises(GithubUnavailable, match="not asked: earlier requests took all patience"):
            one.get("/user")
    assert sum(clock.slept) <= 4.0
    assert len(github.asked) == asked == 5


def test_a_server_that_is_away_is_named(github: FakeGithub) -> None:
    settings = GithubSettings("http://127.0.0.1:1", TOKEN, 1.0, 0.3)
    with GithubClient(settings) as one, pytest.raises(GithubUnavailable, match="ConnectError"):
        one.get("/user")


# Where it is


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({}, "https://api.github.com"),
        ({"host": "github.com"}, "https://api.github.com"),
        ({"host": "https://api.github.com"}, "https://api.github.com"),
        ({"host": "github.example.com"}, "https://github.example.com/api/v3"),
        ({"host": "https://github.example.com/"}, "https://github.example.com/api/v3"),
        ({"host": "https://github.example.com/api/v3"}, "https://github.example.com/api/v3"),
        ({"host": "github.example.com", "port": 8443}, "https://github.example.com:8443/api/v3"),
        ({"host": "octo.ghe.com"}, "https://api.octo.ghe.com"),
        ({"host": "https://api.octo.ghe.com"}, "https://api.octo.ghe.com"),
        ({"host": "127.0.0.1", "port": 80, "schema": "http"}, "http://127.0.0.1:80/api/v3"),
        ({"host": "http://[::1]:3000"}, "http://[::1]:3000/api/v3"),
    ],
)
def test_the_api_of_each_github_is_found(fields: dict[str, object], address: str) -> None:
    found = GithubSettings.of_connection(Connection("g", password="t", **fields))  # type: ignore[arg-type]
    assert found.address == address


def test_a_token_is_not_sent_in_the_clear() -> None:
    with pytest.raises(ConnectionMissing, match="use https"):
        GithubSettings.of_connection(Connection("g", host="http://github.example.com", password="t"))


def test_a_connection_without_a_token_is_missing_and_a_token_is_never_shown() -> None:
    with pytest.raises(ConnectionMissing, match="no password, which is GitHub's token"):
        GithubSettings.of_connection(Connection("g"))
    assert "s3cret" not in repr(GithubSettings.of_connection(Connection("g", password="s3cret")))


@pytest.mark.parametrize("password", ["gh p", "ghp_a\nb", "ghp_ü", "ghp_\x00"])
def test_a_password_that_no_header_can_carry_is_refused_without_being_shown(password: str) -> None:
    with pytest.raises(ConnectionMissing, match="its password is no token") as failed:
        GithubSettings.of_connection(Connection("g", password=password))
    assert password not in str(failed.value)


def test_a_line_break_behind_a_token_is_not_part_of_it() -> None:
    assert GithubSettings.of_connection(Connection("g", password="ghp_a\n")).token == "ghp_a"


@pytest.mark.parametrize("host", ["https://github.example.com:http", "https://[::1"])
def test_a_host_that_is_no_address_is_told(host: str) -> None:
    with pytest.raises(ConnectionMissing, match="its host is no address"):
        GithubSettings.of_connection(Connection("g", host=host, password="t"))


def test_an_enterprise_api_is_asked_below_its_path() -> None:
    with running_github("/api/v3") as github:
        github.repository(NAME, "pull")
        github.pull_request(NAME, 12)
        github.checks(NAME, "c0ffee")
        host = github.address.removesuffix("/api/v3")
        settings = GithubSettings.of_connection(Connection("g", host=host, password=TOKEN))
        facts = look_at_github("g", settings, [NAME], [PULL])
    assert isinstance(facts.account, Account)
    assert isinstance((facts.pull_requests or {})[PULL], PullRequest)
    assert all(path.startswith("/api/v3/") for path in github.asked)
