"""Write an archive of a bucket, or of a part of it, for an auditor: self-contained, with a page to read.

It is written beside its place under another name, and moved there when it is whole. Nothing of what the
bucket says becomes a path: an object whose key is none of the layout's is kept under a number.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from interlock.clients.archive_folder import Folder
from interlock.clients.archive_selected import write_selected
from interlock.clients.archive_whole import write_whole
from interlock.evidence.log.note import VerifierKey
from interlock.evidence.verification.selection import Selection
from interlock.evidence.verification.source import Source, SourceError
from interlock.evidence.verification.trust import Trust
from interlock.evidence.verification.verify import Progress

SHOWN: Final = 20
"""Objects that were left out that are shown."""
CHECKPOINT_KEYS: Final = "checkpoint-keys.vkey"
STATEMENT_KEYS: Final = "statement-keys.vkey"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: where.
        what: the selection, in words.
        entries: how many.
        files: how many.
        left_out: objects whose content was not copied, and why.
    """

    folder: str
    what: str
    entries: int
    files: int
    left_out: Sequence[str] = ()

    def to_json(self) -> Mapping[str, object]:
        """As JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """For people."""
        more = len(self.left_out) - SHOWN
        return "\n".join(
            (
                f"wrote {self.what}: {self.entries} entries in {self.files} files to {self.folder}",
                *(f"left out {one}" for one in self.left_out[:SHOWN]),
                *([f"left out {more} more (--json names them)"] if more > 0 else []),
                f"verify it, with keys from elsewhere: interlock-verify archive {self.folder} --key FILE "
                f"--statement-key FILE",
            )
        )


def export(
    source: Source,
    trust: Trust,
    checkpoint_keys: Sequence[VerifierKey],
    statement_keys: Sequence[VerifierKey],
    selection: Selection,
    target: Path,
    *,
    progress: Progress,
) -> Exported:
    """Write an archive.

    Args:
        source: the bucket.
        trust: the keys; heads that they did not sign are not used.
        checkpoint_keys: copied into the archive as information.
        statement_keys: the same.
        selection: what to take.
        target: a folder that isn't there, or is empty.
        progress: told how far it is.

    Raises:
        SourceError: the bucket can't be read, or has none of this.
        OSError: the folder can't be written.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SourceError(f"{target}: it is there already, and not empty")
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        writer = Folder(folder, source, trust, progress)
        what = str(selection)
        done = write_whole(writer, what) if selection.whole else write_selected(writer, selection)
        writer.put(CHECKPOINT_KEYS, "".join(f"{key.text}\n" for key in checkpoint_keys).encode())
        if statement_keys:
            writer.put(STATEMENT_KEYS, "".join(f"{key.text}\n" for key in statement_keys).encode())
        if target.exists():
            target.rmdir()
        folder.chmod(0o755)
        folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Exported(str(target), str(selection), done, writer.files, writer.left_out)
