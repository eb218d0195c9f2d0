"""Pages that Airflow's API server serves; Airflow decides who sees them.

What is here is loaded by every program of Airflow's, since the plugin names it; the pages themselves
(`pages.py`) load most of the API server, and only once somebody asks for one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

PREFIX: Final = "/interlock"
"""Where the pages are, below Airflow's own address."""
CHECKLIST_KEY: Final = "checklist"
"""The XCom that a checklist's page is made of."""
REPORT_KEY: Final = "page"
"""The XCom with a page of Markdown, such as the environment check's."""

_Message = MutableMapping[str, Any]


async def serve(
    scope: _Message, receive: Callable[[], Awaitable[_Message]], send: Callable[[_Message], Awaitable[None]]
) -> None:
    """The ASGI application of all pages."""
    from interlock.ui.pages import app

    await app(scope, receive, send)
