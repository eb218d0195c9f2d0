"""YAML whose values still know their line, so that an error can name the place a person has to look at."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong with a file; `str` gives `file:line: text`."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


class TrainFileError(ValueError):
    """A file can't be used. Its text has one line a problem: `file:line: found …, expected …`.

    Attributes:
        problems: All that is wrong, in the order of the file.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


def _composed(text: str) -> yaml.Node | None:
    """The file's root node.

    libyaml is several times as fast, and each task of a train reads its file; PyYAML's own parser says better
    what is wrong.
    """
    try:
        return yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return yaml.compose(text, Loader=yaml.SafeLoader)


@dataclass(slots=True)
class Document:
    """A parsed file.

    Attributes:
        file: The path as it was given.
        value: Plain Python values: dict, list, str, int, float, bool, None, dates.
        problems: What is wrong with the YAML itself: syntax, duplicate keys, keys that aren't text.
        whole: Whether `value` has all keys of the file nevertheless, so that it can be looked at further.
    """

    file: str
    value: object = None
    problems: list[Problem] = field(default_factory=list)
    whole: bool = True
    _root: yaml.Node | None = None

    @classmethod
    def read(cls, path: Path) -> Document:
        """Read a file. Whatever is wrong with it ends up in `problems`; nothing is raised."""
        document = cls(str(path))
        try:
            text = path.read_bytes().decode("utf-8-sig")
            document._root = _composed(text)
            if document._root is not None:
                document.value = document._plain(document._root, {}, ())
        except OSError as error:
            document._report(1, f"can't be read: {error.strerror}")
        except UnicodeDecodeError as error:
            document._report(error.object[: error.start].count(b"\n") + 1, "not UTF-8 text")
        except yaml.reader.ReaderError as error:
            document._report(text[: error.position].count("\n") + 1, f"not YAML: {error.reason}")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = ", ".join(part for part in (error.context, error.problem) if part)
            document._report(mark.line + 1 if mark else 1, f"not YAML: {what}")
        except RecursionError:
            document._report(1, "nested too deeply")
        return document

    def line(self, loc: Sequence[str | int], *, key: bool = False) -> int:
        """The line of the value at `loc`, or of its nearest parent that exists; counted from 1.

        Args:
            loc: Keys and list positions from the top.
            key: The line of the key instead of its value's.
        """
        node, found = self._root, self._root
        for step in loc:
            at = node
            node = None
            if isinstance(at, yaml.MappingNode):
                for name, value in at.value:
                    if isinstance(name, yaml.ScalarNode) and name.value == str(step):
                        node, found = value, name if key else value
            elif isinstance(at, yaml.SequenceNode) and isinstance(step, int) and step < len(at.value):
                node = found = at.value[step]
            if node is None:
                break
        return found.start_mark.line + 1 if found is not None else 1

    def with_further(self, problems: Iterable[Problem]) -> list[Problem]:
        """The file's own problems and these, but for those on the same lines, which may follow from it."""
        told = {problem.line for problem in self.problems}
        return [*self.problems, *(p for p in problems if p.file != self.file or p.line not in told)]

    def _report(self, line: int, text: str, *, whole: bool = False) -> None:
        self.whole = self.whole and whole
        self.problems.append(Problem(self.file, line, text))

    def _plain(self, node: yaml.Node, done: dict[int, object], above: tuple[int, ...]) -> object:
        if id(node) in above:
            self._report(node.start_mark.line + 1, "an alias stands inside its own anchor")
            return None
        if id(node) not in done:
            done[id(node)] = self._build(node, done, (*above, id(node)))
        return done[id(node)]

    def _build(self, node: yaml.Node, done: dict[int, object], above: tuple[int, ...]) -> object:
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, done, above) for item in node.value]
        if not isinstance(node, yaml.MappingNode):
            return self._scalar(node)
        found: dict[str, object] = {}
        lines: dict[str, int] = {}
        for name, item in node.value:
            line = name.start_mark.line + 1
            key = self._scalar(name) if isinstance(name, yaml.ScalarNode) else None
            if not isinstance(key, str):
                shown = (
                    getattr(name, "value", "") if isinstance(name, yaml.ScalarNode) else "a list or mapping"
                )
                scalar = isinstance(name, yaml.ScalarNode)
                text = f"a key must be text, found {shown}; put it in quotation marks"
                self._report(line, text, whole=scalar)
                if not scalar:
                    continue
                key = str(shown)
            if key in found:
                text = f"{key!r} stands here twice, first in line {lines[key]}; expected it once"
                self._report(line, text, whole=True)
                continue
            found[key], lines[key] = self._plain(item, done, above), line
        return found

    def _scalar(self, node: yaml.Node) -> object:
        constructor = yaml.constructor.SafeConstructor()
        try:
            value: object = constructor.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            what = getattr(error, "problem", None) or str(error)
            self._report(node.start_mark.line + 1, f"found {node.value!r}: {what}", whole=True)
            return None
        return value


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'after'?` if a known word is close, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
