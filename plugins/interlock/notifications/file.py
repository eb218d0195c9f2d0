"""A notifier that appends to a file: for the sandbox, or for a log collector."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import BaseNotifier

from interlock.notifications.notice import Notice


class FileNotifier(BaseNotifier):
    """Appends one line of JSON for each notice: what, when, train, dag_id, run_id, text, link.

    :param path: the file, made if it isn't there.
    """

    template_fields: Sequence[str] = ("path",)

    def __init__(self, *, path: str) -> None:
        super().__init__()
        self.path = path

    def notify(self, context: Any) -> None:
        """Append the notice of the context; one of a failed run where the context has none."""
        notice = context.get("notice") or Notice.of_context("failed", context)
        line = json.dumps(notice.to_json(), ensure_ascii=False) + "\n"
        file = Path(self.path).expanduser()
        file.parent.mkdir(parents=True, exist_ok=True)
        # One write with O_APPEND: lines of several processes don't mix.
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    async def async_notify(self, context: Any) -> None:
        """The same, beside an event loop."""
        await asyncio.to_thread(self.notify, context)
