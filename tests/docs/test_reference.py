"""docs/reference.md against the code: what can be set or is told is in its tables, and nothing else is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import pytest
from airflow.sdk import BaseHook
from project_documents import calls, dags, documented, named, spans, table, trees
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from interlock import cli, metrics
from interlock.environment.expectations import Expectations, load_expectations
from interlock.onboarding.service_file import ServiceFile
from interlock.project import environments_file, expectations_file, train_files
from interlock.settings import LOG_VAULT, SECTION, Settings
from interlock.trains.environment_entries import EnvironmentEntry
from interlock.trains.files import TrainFile
from interlock.trains.model import load_environments, load_train


def _same(what: str, heading: str, documented: set[str], found: set[str]) -> None:
    missing, stale = sorted(found - documented), sorted(documented - found)
    assert not missing, f"docs/reference.md, {heading}: {what} not documented: {', '.join(missing)}"
    assert not stale, f"docs/reference.md, {heading}: {what} that the code doesn't have: {', '.join(stale)}"


# Settings and environment variables


def _options_read() -> set[str]:
    """The options that any code asks Airflow's configuration for, by literal name."""
    found = set()
    for _, tree in trees("plugins", "dags"):
        for call in calls(tree, "get", "getint", "getfloat", "getboolean", "getjson", "getlist"):
            literals = [arg.value for arg in call.args[:2] if isinstance(arg, ast.Constant)]
            if len(literals) == 2 and literals[0] == SECTION:
                found.add(str(literals[1]))
    return found


def test_each_setting_is_documented_with_its_default() -> None:
    fields = Settings.__dataclass_fields__
    _same("settings", "Settings", set(named("Settings")), set(fields) | _options_read())
    unset = Settings.read(lambda option: "", "$AIRFLOW_HOME")
    for option, default, *_ in table("Settings"):
        name = option.strip("`")
        value = str(getattr(unset, name))
        shown = "" if default == "none" else default.strip("`")
        assert value.endswith(shown), f"{name}: its default is {value!r}, documented is {shown!r}"
        assert bool(value) == bool(shown), name


def test_each_environment_variable_is_documented() -> None:
    connections = {name.upper() for name in _connections()}
    found = {
        node.value
        for _, tree in trees("plugins", "dags", "sandbox")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"INTERLOCK_[A-Z_]+", node.value)
    }
    _same("variables", "Environment variables", set(named("Environment variables")), found - connections)


# Connections


def _connections() -> set[str]:
    """The connections that the environments, the settings and the hooks' defaults name."""
    found = {
        LOG_VAULT,
        ServiceFile().vault.connection,
        str(load_expectations(expectations_file()).vault.audit_connection),
    } | {
        name
        for environment in load_environments(environments_file()).values()
        for name in (environment.kubernetes, environment.vault, environment.store)
    }
    for path, tree in trees("plugins/interlock/hooks"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "default_conn_name":
                assert isinstance(node.value, ast.Constant), path
                found.add(str(node.value.value))
    return found


def test_each_connection_is_documented_with_the_type_that_its_hook_has() -> None:
    _same("connections", "Connections", set(named("Connections")), _connections())
    types = {hook.default_conn_name: hook.conn_type for hook in _hooks()} | {
        LOG_VAULT: "vault",
        "interlock_audit_vault": "vault",
        "interlock_onboarding_vault": "vault",
    }
    assert dict(zip(named("Connections"), named("Connections", 1), strict=True)) == types


def _hooks() -> Iterator[Any]:
    for path, tree in trees("plugins/interlock/hooks"):
        module = __import__(_module(path), fromlist=["*"])
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and issubclass(getattr(module, node.name), BaseHook):
                yield getattr(module, node.name)


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts[1:])


def test_each_key_of_a_connections_extra_is_documented() -> None:
    """Looked up where the settings are made of a connection: `extra.get("key")`, `is_true("key")`."""
    found = set()
    for path, tree in trees("plugins/interlock"):
        if path.name != "connections.py" and path.parent.name != "clients":
            continue
        for call in calls(tree, "get", "is_true"):
            owner = ast.unparse(call.func)
            if re.search(r"(extra\.get|is_true|service\.get)$", owner) and isinstance(
                call.args[0], ast.Constant
            ):
                found.add(str(call.args[0].value))
    shown = {part for row in table("Connections") for span in spans(row[2]) for part in span.split(".")}
    assert found - shown == set(), "docs/reference.md, Connections: keys of an extra that are not documented"


# DAGs and their params


def test_each_dag_is_documented() -> None:
    _same("DAGs", "DAGs", set(named("DAGs")), {documented(dag_id) for dag_id in dags()})


def _services(dag_id: str) -> set[str]:
    if not dag_id.startswith("promotion_train__"):
        return set()
    (file,) = [file for file in train_files() if dag_id == f"promotion_train__{file.stem}"]
    return {service.name for service in load_train(file).services}


def _params() -> dict[tuple[str, str], Any]:
    """Each DAG's params with their defaults; those of a train's services as SERVICE."""
    found = {}
    for dag_id, dag in dags().items():
        services = _services(dag_id)
        for name in dag.params:
            found[documented(dag_id), "SERVICE" if name in services else name] = dag.params.get_param(
                name
            ).value
    return found


def test_each_param_is_documented_with_its_default() -> None:
    rows = {
        (dag, param): default
        for dag, param, (_, _, default, _) in zip(
            named("Params"), named("Params", 1), table("Params"), strict=True
        )
    }
    found = _params()
    _same("params", "Params", {" ".join(key) for key in rows}, {" ".join(key) for key in found})
    for key, shown in rows.items():
        value = found[key]
        words = {"empty": "", "none": "", "`false`": False, "the train's first": value}
        assert words.get(shown, shown.strip("`")) == value, f"{key}: its default is {value!r}, not {shown}"


# Files


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is None:
            yield prefix + name, field
        else:
            below = ".NAME." if get_origin(field.annotation) is dict else "."
            yield from _fields(inner, prefix + name + below)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not isinstance(annotation, UnionType):
        return annotation if issubclass(annotation, BaseModel) else None
    models = [model for part in get_args(annotation) if (model := _model_in(part)) is not None]
    return models[0] if models else None


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("Train files", TrainFile),
        ("Environments", EnvironmentEntry),
        ("Expectations of an environment", Expectations),
        ("Service files", ServiceFile),
    ],
)
def test_each_field_of_a_file_is_documented_with_its_default(heading: str, model: type[BaseModel]) -> None:
    fields = dict(_fields(model))
    rows = dict(zip(named(heading), (row[1] for row in table(heading)), strict=True))
    _same("fields", heading, set(rows), set(fields))
    for name, shown in rows.items():
        field = fields[name]
        if shown == "needed":
            assert field.is_required(), name
        elif shown.startswith("`"):
            default = ", ".join(field.default) if isinstance(field.default, list) else str(field.default)
            assert default.lower() == shown.strip("`").lower(), name
        else:
            assert not field.is_required(), name
            assert not field.default, name


# Metrics


def test_each_metric_is_documented_with_kind_unit_and_tags() -> None:
    found = {value.name: value for value in vars(metrics).values() if isinstance(value, metrics.Metric)}
    _same("metrics", "Metrics", set(named("Metrics")), set(found))
    for name, kind, tags, _ in table("Metrics"):
        metric = found[name.strip("`")]
        assert kind == f"{metric.kind}, {metric.unit}"
        assert tuple(spans(tags)) == metric.tags


def test_metrics_are_sent_from_one_module_and_each_is_sent() -> None:
    senders, sent = set(), set()
    for path, tree in trees("plugins", "dags"):
        if any(
            "observability" in ast.unparse(node)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
        ):
            senders.add(path.name)
        sent |= {ast.unparse(call.args[0]) for call in calls(tree, "count", "measure") if call.args}
    assert senders == {"metrics.py"}
    names = {name for name, value in vars(metrics).items() if isinstance(value, metrics.Metric)}
    assert {f"metrics.{name}" for name in names} <= sent


# Command line


def test_each_command_is_documented() -> None:
    (commands,) = [
        action.choices for action in cli._parser()._actions if getattr(action, "choices", None) is not None
    ]
    _same("commands", "Command line", set(named("Command line")), {f"interlock {name}" for name in commands})
