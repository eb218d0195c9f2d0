"""The page of an archive: what is in it, and how to verify it, for somebody with a browser."""

from __future__ import annotations

from html import escape
from typing import Final

from interlock.evidence.verification.shown import plain
from interlock.evidence.verification.story import Row, Story

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


class Page:
    """Prints the page of a story."""

    def __init__(self, log: str, source: str, what: str) -> None:
        self._log, self._source, self._what = log, source, what
        self.story = Story()

    def html(self) -> bytes:
        """The page."""
        more = self.story.count - len(self.story.rows)
        rows = "\n".join(map(_row, self.story.rows))
        what, log, source = (escape(plain(one)) for one in (self._what, self._log, self._source))
        return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Evidence: {what}</title><style>{_STYLE}</style></head><body>
<h1>Evidence: {what}</h1>
<p>{self.story.count} entries of <code>{log}</code>, copied from {source}.</p>
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
    grade = row.problem or row.grade
    at = row.at.isoformat(timespec="seconds") if row.at else ""
    at, kind, run, grade = (escape(plain(one)) for one in (at, row.kind, row.run, grade))
    says = "<br>".join(escape(plain(one)) for one in row.says)
    cells = [at, kind, says, run, grade]
    said = "".join(f"<td>{one}</td>" for one in (*cells, files))
    return f'<tr><td class="n">{row.year}/{row.index}</td>{said}</tr>'
