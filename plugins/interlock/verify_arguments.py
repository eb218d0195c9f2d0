"""The command line of `interlock-verify`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final

SKIPPABLE: Final = ("blobs", "retention")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="interlock-verify",
        description="Verify an evidence log with nothing but public keys.",
        epilog="Exit status: 0 verified; 1 something is wrong; 2 wrong usage; 3 it could not be read; "
        "4 nothing wrong was found, and not all could be checked.",
    )
    keys = argparse.ArgumentParser(add_help=False)
    keys.add_argument(
        "--key", action="append", required=True, metavar="FILE",
        help="verifier key of the log's checkpoints (a line NAME+ID+BASE64), from a source that you trust",
    )  # fmt: skip
    keys.add_argument(
        "--statement-key", action="append", default=[], metavar="FILE", help="verifier key of the statements"
    )
    keys.add_argument("--json", action="store_true", help="print the report as one JSON object")
    keys.add_argument("--quiet", action="store_true", help="tell no progress")
    what = argparse.ArgumentParser(add_help=False)
    what.add_argument(
        "--witness", action="append", default=[], metavar="FILE",
        help="a checkpoint of this log that was kept elsewhere; the log has to contain it",
    )  # fmt: skip
    what.add_argument(
        "--since", metavar="SIZE|FILE",
        help="verify only what came after a trusted checkpoint: its file, or the size of one in the log",
    )  # fmt: skip
    what.add_argument("--year", type=int, help="the log that --since SIZE is about; default: this year")
    what.add_argument(
        "--skip", action="append", default=[], choices=SKIPPABLE, help="leave out a step; the verdict says so"
    )
    what.add_argument(
        "--mode",
        default="GOVERNANCE",
        choices=("GOVERNANCE", "COMPLIANCE"),
        help="how versions must be locked",
    )
    what.add_argument("--days", type=int, default=1095, help="for how long they must be (default: 1095)")
    what.add_argument(
        "--tolerance", type=int, default=300, metavar="SECONDS", help="by how much clocks may differ (300)"
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, parents: list[argparse.ArgumentParser], told: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=parents, help=told, description=told)

    _bucket_arguments(add("bucket", [keys, what], "verify a bucket"), "bucket")
    archive = add("archive", [keys, what], "verify an archive (folder, .tar, .tar.gz) or a copy of a bucket")
    archive.add_argument("path", metavar="FILE|DIR", type=Path)
    receipt = add("receipt", [keys], "verify one receipt (C2SP tlog-proof)")
    receipt.add_argument("path", metavar="FILE", type=Path)
    receipt.add_argument(
        "--entry", metavar="FILE", type=Path, help="the entry; default: the one in the receipt"
    )
    export = add("export", [keys], "write an archive of a bucket, or of a part of it, for an auditor")
    _bucket_arguments(export, "bucket")
    export.add_argument("--to", required=True, metavar="DIR", type=Path, help="a new folder, or an empty one")
    key = commands.add_parser(
        "key",
        help="print the verifier key of an ed25519 public key",
        description="Print the verifier key of an ed25519 public key, as Vault's transit/keys/NAME shows it.",
    )
    key.add_argument("name", metavar="NAME", help="the log's name, or any for a statement key")
    key.add_argument("public", metavar="BASE64", help="the public key, 32 bytes")
    part = export.add_mutually_exclusive_group()
    part.add_argument("--day", metavar="YYYY-MM-DD", help="what was claimed or stored on a day, UTC")
    part.add_argument("--period", nargs=2, metavar=("FROM", "TO"), help="days, both included, UTC")
    part.add_argument("--train", metavar="NAME", help="all runs of a train, and their undoing")
    part.add_argument("--run", metavar="DAG_ID/RUN_ID", help="one run")
    return top


def _bucket_arguments(command: argparse.ArgumentParser, name: str) -> None:
    command.add_argument(name, metavar="BUCKET")
    command.add_argument(
        "--endpoint", metavar="URL", help="of the store; default: AWS_ENDPOINT_URL, else AWS"
    )
    command.add_argument("--region", default=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"))
