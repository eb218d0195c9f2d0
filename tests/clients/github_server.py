"""A small server that answers as the documented REST API of GitHub does, for what an environment check asks.

It knows one account, some repositories and pull requests, and nothing else. What is right of a real GitHub is
what docs.github.com says: status codes, headers, the shape of answers. A test sets what is wrong: an answer
by path, once or for ever, or a delay.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.clients.small_server import Handler, serving

TOKEN = "a-token-of-the-tests"
LIMIT = {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "4990", "x-ratelimit-reset": "1800000000"}


@dataclass
class Answer:
    """One answer: its status, headers, body, and how long it takes."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def failure(status: int, message: str, seconds: float = 0.0, **headers: str) -> Answer:
    """An answer as GitHub refuses, with header names written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(
        status, {"message": message, "documentation_url": "https://docs.github.com"}, named, seconds
    )


@dataclass
class FakeGithub:
    """What the server knows.

    Attributes:
        base: the path below which the API is.
        scopes: of a classic token; None: the token is fine-grained.
        expires: the header that tells the token's end; empty: none is sent.
        answers: by path.
        faults: by path, what is answered instead, one after the other; the last one stays.
        asked: each request's path with its query.
        tokens: what each request had as its authorization.
    """

    base: str = ""
    address: str = ""
    scopes: str | None = "repo"
    expires: str = "2027-01-24 10:00:00 UTC"
    answers: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def repository(self, name: str, *roles: str, **more: Any) -> None:
        """Add a repository that a fine-grained token may read as a train needs it, and no further."""
        permissions = {role: role in roles for role in ("pull", "triage", "push", "maintain", "admin")}
        self.answers[f"/repos/{name}"] = {"full_name": name, "permissions": permissions, **more}
        for path in ("commits", "pulls"):
            self.answers[f"/repos/{name}/{path}"] = []
        self.checks(name, "HEAD")

    def checks(self, name: str, commit: str, *runs: tuple[str, str, str | None], **statuses: str) -> None:
        """The check runs (name, status, conclusion) and commit statuses of a commit."""
        told = [{"name": run, "status": status, "conclusion": conclusion} for run, status, conclusion in runs]
        self.answers[f"/repos/{name}/commits/{commit}/check-runs"] = {"check_runs": told}
        contexts = [{"context": context, "state": state} for context, state in statuses.items()]
        self.answers[f"/repos/{name}/commits/{commit}/status"] = {"statuses": contexts}

    def pull_request(self, name: str, number: int, *reviews: tuple[str, str], **more: Any) -> None:
        """Add one, with its reviews (who, state)."""
        told = {
            "state": "open",
            "merged": False,
            "draft": False,
            "mergeable": True,
            "mergeable_state": "clean",
            "head": {"sha": "c0ffee"},
        }
        self.answers[f"/repos/{name}/pulls/{number}"] = told | more
        given = [
            {"user": {"login": who}, "state": state, "author_association": "MEMBER"} for who, state in reviews
        ]
        self.answers[f"/repos/{name}/pulls/{number}/reviews"] = given

    def answer(self, path: str, query: dict[str, list[str]], token: str) -> Answer:
        """What is answered to a request."""
        if (queue := self.faults.get(path)) is not None:
            return queue.pop(0) if len(queue) > 1 else queue[0]
        if token != f"Bearer {TOKEN}":
            return failure(401, "Bad credentials")
        headers = dict(LIMIT)
        if self.scopes is not None:
            headers["x-oauth-scopes"] = self.scopes
        if self.expires:
            headers["github-authentication-token-expiration"] = self.expires
        if path == "/user":
            return Answer(200, {"login": "trains-bot", "type": "User"}, headers)
        if path not in self.answers:
            return Answer(404, {"message": "Not Found"}, headers)
        found = self.answers[path]
        if isinstance(found, list):
            size, page = int(query["per_page"][0]), int(query.get("page", ["1"])[0])
            if len(found) > size * page:
                headers["link"] = f'<{self.address}{path}?per_page={size}&page={page + 1}>; rel="next"'
            found = found[size * (page - 1) : size * page]
        return Answer(200, found, headers)


@contextmanager
def running_github(base: str = "") -> Iterator[FakeGithub]:
    """Run the server on a free loopback port."""
    github = FakeGithub(base)

    class Github(Handler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            github.asked.append(self.path)
            if parts.path.startswith(github.base):
                path = parts.path.removeprefix(github.base)
                token = self.headers["Authorization"] or ""
                github.tokens.append(token)
                answer = github.answer(path, parse_qs(parts.query), token)
            else:
                answer = Answer(404, "<html>", {"content-type": "text/html"})
            time.sleep(answer.seconds)
            body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            self.send(answer.status, body, **{"content-type": "application/json", **answer.headers})

    with serving(Github) as address:
        github.address = f"{address}{base}"
        yield github
