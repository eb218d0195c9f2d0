"""A client of GitHub's REST API that only reads, and never waits for longer than it was told.

Libraries for GitHub wait for as long as a rate limit says, which may be an hour, and hide the headers that
tell a token's scopes and end. This one has a budget of seconds for waiting and for requests that fail; when
it is used up, each further request is refused at once.

Errors:

    GithubError
      GithubUnavailable    away, too slow, failing, or limiting the rate for longer than the patience lasts
      GithubRefused        401: the token is wrong, ended, or was revoked
      GithubForbidden      403: the token is good, and may not do this
      GithubMissing        404: there is nothing, or nothing that this token may see
      GithubInvalid        another 4xx: it makes no sense there, such as commits of an empty repository
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

import httpx2

from interlock.clients.github_settings import GithubSettings
from interlock.environment.github_facts import Limit

# One line a request is noise in a task's log.
logging.getLogger("httpx2").setLevel(logging.WARNING)
API_VERSION: Final = "2022-11-28"
PAGE: Final = 100
MOST_PAGES: Final = 10
_SECONDARY_SECONDS: Final = 60.0
"""GitHub asks to wait for at least a minute where a secondary limit names no time."""
_FIRST_PAUSE_SECONDS: Final = 0.5
_ATTEMPTS: Final = 4


class GithubError(Exception):
    """GitHub did not do what it was asked."""


class GithubUnavailable(GithubError):
    """GitHub is away, too slow, failing by itself, or limits the rate; the same request may succeed later."""


class GithubRefused(GithubError):
    """GitHub doesn't know the token: it is wrong, has ended, or was revoked."""


class GithubForbidden(GithubError):
    """GitHub knows the token, and its rights don't allow this request."""


class GithubMissing(GithubError):
    """There is no such thing, or the token may not see it: GitHub doesn't tell which."""


class GithubInvalid(GithubError):
    """GitHub let the token through, and can't answer: such as for the commits of an empty repository."""


class GithubClient:
    """Reads from one GitHub with one token; use it with ``with``.

    Args:
        settings: where the API is, who asks, and how long all of it may wait.
        sleep: waits for some seconds.
        now: the wall clock, by which GitHub says when a limit ends.
    """

    def __init__(
        self,
        settings: GithubSettings,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._sleep = sleep
        self._now = now
        self._left = settings.patience
        self.limit: Limit | None = None
        """The primary rate limit, as the last answer told it."""
        self._http = httpx2.Client(
            base_url=settings.address,
            timeout=settings.timeout,
            # A renamed repository answers with where it is now; another host would not get the token.
            follow_redirects=True,
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {settings.token}",
                "User-Agent": "interlock",
                "X-GitHub-Api-Version": API_VERSION,
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **params: str | int) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """The JSON object at a path, and the answer's headers.

        Raises:
            GithubError: see the module's description.
        """
        answer = self._answer(path, params)
        return self._read(path, answer, dict), answer.headers

    def can_read(self, path: str) -> bool:
        """Whether the token may read what is there, whatever it is, or that there is nothing yet.

        Raises:
            GithubError: that couldn't be found out.
        """
        try:
            self._answer(path, {"per_page": 1})
        except (GithubForbidden, GithubMissing):
            return False
        except GithubInvalid:
            pass  # rights are looked at first
        return True

    def pause(self, seconds: float) -> bool:
        """Wait, if the patience lasts for so long; return whether it did."""
        if seconds > self._left:
            return False
        self._sleep(seconds)
        self._left -= seconds
        return True

    def items(self, path: str, key: str = "") -> Iterator[Mapping[str, Any]]:
        """All items of a list, page by page.

        Args:
            path: of the list.
            key: where the list is in the answer's object; empty: the answer is the list.

        Raises:
            GithubError: see the module's description; also when the list is longer than MOST_PAGES pages.
        """
        for page in range(1, MOST_PAGES + 1):
            answer = self._answer(path, {"per_page": PAGE, "page": page})
            if key:
                yield from self._read(path, answer, dict).get(key) or ()
            else:
                yield from self._read(path, answer, list)
            if "next" not in answer.links:
                return
        raise GithubUnavailable(f"GET {path}: it has more than {MOST_PAGES * PAGE} items, which nobody read")

    def _read(self, path: str, answer: httpx2.Response, kind: type) -> Any:
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, kind):
            got = answer.headers.get("content-type", "nothing")
            raise GithubUnavailable(f"GET {path}: expected JSON of GitHub, got {got}: is this its address?")
        return found

    def _answer(self, path: str, params: Mapping[str, str | int]) -> httpx2.Response:
        """Ask, and again while that may help and the patience lasts."""
        problem: GithubError = GithubUnavailable(f"GET {path}: not asked: earlier requests took all patience")
        pause = _FIRST_PAUSE_SECONDS
        for attempt in range(1, _ATTEMPTS + 1):
            if self._left <= 0:
                break
            began = time.monotonic()
            try:
                answer = self._http.get(path, params=params)
            except httpx2.HTTPError as error:
                problem = GithubUnavailable(f"GET {path}: no answer ({type(error).__name__})")
                wait = pause
            else:
                self._note_limit(answer)
                if answer.is_success:
                    return answer
                problem = self._problem(path, answer)
                if not isinstance(problem, GithubUnavailable):
                    raise problem
                told = self._told_to_wait(answer)
                wait = pause if told is None else told
            self._left -= time.monotonic() - began
            if attempt == _ATTEMPTS:
                break
            if wait > self._left:
                # A limit is the same for all requests; to ask on is what GitHub blocks accounts for.
                self._left = 0.0
                break
            self._sleep(wait)
            self._left -= wait
            pause *= 2
        raise problem

    def _problem(self, path: str, answer: httpx2.Response) -> GithubError:
        status, said = answer.status_code, _message(answer)
        where = f"GET {path}: {status}"
        if status == 401:
            return GithubRefused(f"{where}: GitHub doesn't take the token ({said})")
        if status in (403, 429):
            told = self._told_to_wait(answer)
            if told is not None:
                return GithubUnavailable(
                    f"{where}: the rate limit is reached, for {told:.0f} s more ({said})"
                )
            if status == 403:
                needs = answer.headers.get("x-accepted-github-permissions", "")
                more = f"; it takes {needs}" if needs else ""
                more += "; single sign-on is wanted" if "x-github-sso" in answer.headers else ""
                return GithubForbidden(f"{where}: the token may not do this ({said}){more}")
        if status in (404, 410, 451):
            return GithubMissing(f"{where}: there is nothing that this token may see")
        if 400 <= status < 500 and status not in (408, 429):
            return GithubInvalid(f"{where}: GitHub can't answer that ({said})")
        return GithubUnavailable(f"{where}: GitHub fails ({said})")

    def _told_to_wait(self, answer: httpx2.Response) -> float | None:
        """For how many seconds an answer says to wait; None where it doesn't.

        Source: "Best practices for using the REST API" and "Rate limits for the REST API".
        """
        after = answer.headers.get("retry-after", "")
        if after.isascii() and after.isdecimal():
            return float(after)
        if answer.headers.get("x-ratelimit-remaining") == "0" and self.limit is not None:
            return max((self.limit.resets_at - self._now()) / timedelta(seconds=1), 0.0) + 1.0
        limited = answer.status_code == 429 or "secondary rate limit" in _message(answer).lower()
        return _SECONDARY_SECONDS if limited else None

    def _note_limit(self, answer: httpx2.Response) -> None:
        names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
        values = [answer.headers.get(name, "") for name in names]
        if all(value.isascii() and value.isdecimal() and len(value) < 12 for value in values):
            limit, remaining, resets = map(int, values)
            self.limit = Limit(limit, remaining, datetime.fromtimestamp(resets, UTC))


def _message(answer: httpx2.Response) -> str:
    """What the answer says of itself, cut short."""
    try:
        said = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        said = answer.reason_phrase or "no reason given"
    return said if len(said) <= 200 else f"{said[:200]}…"
