"""What the documents show is there: examples work, and commands, DAGs, paths and links exist."""

from __future__ import annotations

import configparser
import copy
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from project_documents import CHECKOUT, DOCUMENTS, blocks, dags, documented, links, spans

from interlock import cli
from interlock.notifications.configured import parse
from interlock.project import environments_file
from interlock.trains.model import load_train

README = CHECKOUT / "README.md"
_PLACEHOLDERS = re.compile(r"\bNAME\b|\bSERVICE\b|\bRUN\b|…")
_SHELL = ("sh", "bash")


def _texts() -> Iterator[tuple[Path, str]]:
    """Each code span and each line of a shell block, with its document."""
    for document in DOCUMENTS:
        for span in spans(document.read_text()):
            yield document, span
        for language in _SHELL:
            for block in blocks(document, language):
                for line in block.splitlines():
                    yield document, line.partition(" # ")[0].strip()


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))


def _commands() -> set[str]:
    (choices,) = [a.choices for a in cli._parser()._actions if getattr(a, "choices", None) is not None]
    return set(choices)


def test_the_readmes_train_loads_and_its_name_is_the_dags(tmp_path: Path) -> None:
    (example,) = blocks(README, "yaml")
    (tmp_path / "trains").mkdir()
    (tmp_path / "environments.yaml").write_text(environments_file().read_text())
    file = tmp_path / "trains" / "search.yaml"
    file.write_text(example)
    train = load_train(file)
    assert train.order()[0] == "index"
    assert train.approval
    text = README.read_text()
    assert "`include/trains/search.yaml` becomes `promotion_train__search`" in text


def test_the_readmes_configuration_makes_its_notifiers() -> None:
    (example,) = blocks(README, "ini")
    read = configparser.ConfigParser(interpolation=None)
    read.read_string(example)
    configured = parse(read["interlock"]["notifiers"])
    assert [type(config.make()).__name__ for config in configured] == ["SmtpNotifier"]


def test_the_readmes_trigger_has_a_config_that_the_dag_takes() -> None:
    (line,) = [
        block for block in blocks(README, "sh") if block.startswith("airflow dags trigger promotion_train__")
    ]
    words = shlex.split(line.replace("\\\n", " "))
    dag = dags()[words[3]]
    given = json.loads(words[words.index("--conf") + 1])
    assert set(given) <= set(dag.params)
    for name, value in given.items():
        copy.deepcopy(dag.params.get_param(name)).resolve(value)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_links_to_is_there(document: Path) -> None:
    gone = [
        link
        for link in links(document)
        if "://" not in link and not link.startswith("#") and not (document.parent / link).exists()
    ]
    assert gone == []


def test_each_make_target_that_is_named_exists_and_each_is_named() -> None:
    named = {
        (document.name, target)
        for document, text in _texts()
        for target in re.findall(r"\bmake ([a-z][a-z-]*)", text)
    }
    assert {target for _, target in named} - _targets() == set()
    assert _targets() - {target for name, target in named if name == "README.md"} <= {"help", "env", "lock"}


def test_each_interlock_command_that_is_named_exists() -> None:
    named = {command for _, text in _texts() for command in re.findall(r"^interlock ([a-z]+)\b", text)}
    assert named - _commands() == set()
    assert _commands() <= named


def test_each_dag_that_is_named_exists() -> None:
    ids = set(dags()) | {documented(dag_id) for dag_id in dags()}
    words = {word for _, text in _texts() for word in re.findall(r"[a-z]+_train__[\w-]+", text)}
    assert words - ids - {"promotion_train__search"} == set()


def _paths() -> Iterator[tuple[Path, str]]:
    """What looks like a path: it begins with a folder of the project, or with one of plugins/interlock."""
    top = {path.name for path in CHECKOUT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    package = {path.name for path in (CHECKOUT / "plugins" / "interlock").iterdir() if path.is_dir()}
    for document in DOCUMENTS:
        for span in spans(document.read_text()):
            for word in re.split(r"[\s,:;()]+", span):
                first, slash, _ = word.partition("/")
                if slash and first in top | package and not _PLACEHOLDERS.search(word):
                    yield document, word


def test_each_path_that_is_named_exists() -> None:
    found = list(_paths())
    assert len(found) > 30
    roots = (CHECKOUT, CHECKOUT / "plugins" / "interlock", CHECKOUT / "include")
    # search.yaml is the reader's own train.
    gone = sorted(
        f"{document.name}: {path}"
        for document, path in found
        if not any((root / path).exists() for root in roots) and not path.endswith("search.yaml")
    )
    assert gone == []


def test_each_function_that_architecture_names_is_in_its_file() -> None:
    architecture = CHECKOUT / "docs" / "architecture.md"
    named = [span for span in spans(architecture.read_text()) if re.match(r"[\w/]+\.py: ", span)]
    assert named
    for span in named:
        file, _, names = span.partition(": ")
        text = (CHECKOUT / "plugins" / "interlock" / file).read_text()
        for name in names.split(", "):
            assert re.search(rf"^(async )?(def|class) {name}\b", text, re.MULTILINE), span


def test_each_folder_of_the_package_is_in_the_readme() -> None:
    named = {word for row in README.read_text().splitlines() if row.startswith("| `") for word in spans(row)}
    folders = {
        path.name
        for path in (CHECKOUT / "plugins" / "interlock").iterdir()
        if path.is_dir() and any(path.glob("*.py"))
    }
    assert folders - {Path(word).name for word in named} == set()
