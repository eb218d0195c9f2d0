"""Tessera's fsck, a verifier of tlog-tiles logs that knows nothing of Interlock, on the files of a log."""

from __future__ import annotations

import functools
import http.server
import subprocess
import threading
from pathlib import Path
from typing import Any

from interlock.evidence.log.note import VerifierKey
from sandbox import binaries

SECONDS = 20.0


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def run_fsck(folder: Path, key: VerifierKey, year: int, scratch: Path, *, seconds: float = SECONDS) -> str:
    """What it says of a log's files, served over HTTP as its README does.

    It hangs on some wrong bytes, and exits 0 for a log that it rejects: only what it says tells.
    """
    (scratch / "key").write_text(key.text)
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            done = subprocess.run(
                [
                    str(binaries.fsck(lambda text: None)),
                    f"--storage_url=http://127.0.0.1:{server.server_port}/",
                    f"--public_key={scratch / 'key'}",
                    f"--origin={key.name}/{year}",
                    *("--ui=false", "--v=1"),
                ],
                capture_output=True,
                text=True,
                timeout=seconds,
            )
            return done.stderr
        except subprocess.TimeoutExpired as expired:
            return f"no end after {seconds:g} s: {(expired.stderr or b'').decode(errors='replace')}"
        finally:
            server.shutdown()


def accepts(said: str) -> bool:
    """Whether it has accepted the log."""
    return "Completed ranges" in said and "fsck failed" not in said and "no end" not in said


def rejects(said: str) -> bool:
    """Whether it has rejected the log, or has come to no end of it."""
    return "fsck failed" in said or "no end" in said
