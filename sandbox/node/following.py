"""Follows all objects of a kind: a list first, then each change; whatever becomes of the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import httpx

from .api import Api, ApiError

_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0


@dataclass(frozen=True)
class Listed:
    """All objects that there are; what was known before and isn't among them is gone."""

    objects: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Changed:
    """One object came, changed or went."""

    how: Literal["ADDED", "MODIFIED", "DELETED"]
    object: dict[str, Any]


async def follow(api: Api, path: str, selector: Mapping[str, str]) -> AsyncIterator[Listed | Changed]:
    """Yield a list and the changes after it, for ever.

    A watch that ends is taken up where it stopped; one whose version is too old (410), and any answer that
    makes no sense, begins with a new list.

    Args:
        api: The API server.
        path: Of the objects.
        selector: Parameters of list and watch that select some of them.
    """
    version, wait = "", _FIRST_WAIT
    while True:
        try:
            if not version:
                answer = await api.call("GET", path, params=selector)
                yield Listed(answer["items"])
                version = str(answer["metadata"]["resourceVersion"])
            async for event in api.watch(path, selector, version):
                version, wait = event["object"]["metadata"]["resourceVersion"], _FIRST_WAIT
                if event["type"] != "BOOKMARK":
                    how = cast(Literal["ADDED", "MODIFIED", "DELETED"], event["type"])
                    yield Changed(how, event["object"])
        except ApiError as error:
            print(f"{path}: {error}", flush=True)
            version = ""
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)
        except httpx.HTTPError as error:
            print(f"{path}: {error!r}", flush=True)
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)
