"""The page of an archive: what is in it, and how to verify it, for somebody with a browser."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Final, Self

from interlock.evidence.log.layout import blob_key
from interlock.evidence.verification.entry import EntryError, read_entry
from interlock.evidence.verification.sayings import sayings
from interlock.evidence.verification.shown import plain

MAX_ROWS: Final = 5_000

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; vertical-align: top }
th { border-bottom: 2px solid #888; position: sticky; top: 0; background: #fff }
tr + tr td { border-top: 1px solid #ddd }
td { overflow-wrap: anywhere }
td:nth-child(-n+3) { white-space: nowrap }
td.n { text-align: right; font-variant-numeric: tabular-nums }
pre { background: #f4f4f4; padding: .8rem; overflow-x: auto }
.note { border-left: 4px solid #b58900; padding: .2rem .8rem; background: #fdf6e3 }
"""
_HEADS: Final = "".join(
    f"<th>{head}</th>"
    for head in ("entry", "claimed time", "statement", "what it says", "run", "grade", "files")
)


@dataclass(frozen=True, slots=True)
class Row:
    """One entry."""

    year: int
    index: int
    at: datetime | None
    kind: str
    says: tuple[str, ...]
    run: str
    late: bool
    problem: str
    receipt: str
    blob: str

    @classmethod
    def of(cls, year: int, index: int, leaf: bytes, stored: datetime | None, receipt: str) -> Self:
        """The row of an entry, whose receipt is at a path in the archive; empty: it has none."""
        try:
            entry = read_entry(leaf, None, whole=True)
        except EntryError as error:
            return cls(year, index, stored, "unreadable", (), "", False, str(error), receipt, "")
        run = f"{entry.dag_id}/{entry.run_id}" if entry.dag_id else entry.run_hash
        blob = f"objects/{blob_key(entry.blob[0])}" if entry.blob else ""
        says = tuple(sayings(entry.kind, entry.body or {}))
        return cls(year, index, entry.at or stored, entry.kind, says, run, entry.late, "", receipt, blob)


class Page:
    """Collects rows, at most MAX_ROWS, and prints the page."""

    def __init__(self, log: str, source: str, what: str) -> None:
        self._log, self._source, self._what = log, source, what
        self._rows: list[Row] = []
        self._count = 0

    def add(self, row: Row) -> None:
        """Take an entry."""
        self._count += 1
        if len(self._rows) < MAX_ROWS:
            self._rows.append(row)

    def html(self) -> bytes:
        """The page."""
        more = self._count - len(self._rows)
        rows = "\n".join(map(_row, self._rows))
        what, log, source = (escape(plain(one)) for one in (self._what, self._log, self._source))
        return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Evidence: {what}</title><style>{_STYLE}</style></head><body>
<h1>Evidence: {what}</h1>
<p>{self._count} entries of <code>{log}</code>, copied from {source}.</p>
<p class="note">This page proves nothing: it shows what the files beside it say. Verify them, with keys
that you have from elsewhere and not from this archive:</p>
<pre>interlock-verify archive . --key LOG.vkey --statement-key STATEMENTS.vkey</pre>
<p>Without Interlock: each receipt follows c2sp.org/tlog-proof; its <code>extra</code> line is the entry, a
DSSE envelope of an in-toto statement. docs/evidence.md of Interlock has all formats, byte by byte.</p>
<table><thead><tr>{_HEADS}</tr></thead>
<tbody>
{rows}
</tbody></table>
{f"<p>{more} more entries are in the archive and not on this page.</p>" if more else ""}
</body></html>
""".encode()


def _row(row: Row) -> str:
    links = [(row.receipt, "receipt"), (row.blob, "evidence")]
    files = " ".join(f'<a href="{escape(path)}">{name}</a>' for path, name in links if path)
    grade = row.problem or ("attested late" if row.late else "signed then")
    at = row.at.isoformat(timespec="seconds") if row.at else ""
    at, kind, run, grade = (escape(plain(one)) for one in (at, row.kind, row.run, grade))
    says = "<br>".join(escape(plain(one)) for one in row.says)
    cells = [at, kind, says, run, grade]
    said = "".join(f"<td>{one}</td>" for one in (*cells, files))
    return f'<tr><td class="n">{row.year}/{row.index}</td>{said}</tr>'
