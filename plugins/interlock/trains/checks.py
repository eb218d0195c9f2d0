"""What a train's file can say wrong although each of its values has the right shape."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from interlock.trains.files import Loc, TrainFile
from interlock.trains.located import Document, Problem, did_you_mean
from interlock.trains.order import cycles

RESERVED: Final = (
    "approve",
    "arrived",
    "change",
    "close",
    "decide",
    "environment",
    "irreversible",
    "lock",
    "plan",
    "reason",
    "rollback",
)
"""Names no service can have: the run config and the graph of a train's DAG use them."""


def dependencies(data: TrainFile, document: Document, told: Iterable[Loc] = ()) -> list[Problem]:
    """What is wrong with the services' names, workloads and dependencies.

    Args:
        data: The train's file.
        document: The same with its lines.
        told: The places of which something else was said already; nothing more is said of them.
    """
    problems: list[Problem] = []
    known = set(told)

    def report(text: str, *loc: str | int, key: bool = False) -> None:
        if ("services", *loc) in known:
            return
        where = "services." + ".".join(str(step) for step in loc if isinstance(step, str))
        line = document.line(("services", *loc), key=key)
        problems.append(Problem(document.file, line, f"{where}: {text}"))

    workloads: dict[tuple[str, str], str] = {}
    for name, entry in data.services.items():
        if name in RESERVED:
            report("this name is taken by Interlock itself; expected another service name", name, key=True)
        first = workloads.setdefault((entry.kind, entry.workload or name), name)
        unsure = {("services", other, key) for other in (first, name) for key in ("kind", "workload")}
        if first != name and not unsure & known:
            report(
                f"found {entry.kind}/{entry.workload or name}, which is {first}'s workload already",
                name,
                key=True,
            )
        for at, other in enumerate(entry.after):
            if other == name:
                report("a service can't come after itself", name, "after", at)
            elif other not in data.services:
                hint = did_you_mean(other, data.services)
                report(f"found {other!r}, expected a service of this train{hint}", name, "after", at)
            elif other in entry.after[:at]:
                report(f"found {other!r} twice, expected it once", name, "after", at)
    for circle in cycles({n: [a for a in e.after if a != n] for n, e in data.services.items()}):
        report(f"services wait for each other: {' → '.join(circle)}", circle[0], "after", key=True)
    return problems


def named_environments(
    data: TrainFile, document: Document, known: Collection[str] | None, told: Iterable[Loc] = ()
) -> list[Problem]:
    """What is wrong with the names of environments; with `known` None, whether they exist isn't asked.

    Of the places in `told` something else was said already.
    """
    problems: list[Problem] = []
    for at, name in enumerate(data.environments or ()):
        if ("environments", at) in set(told):
            continue
        line = document.line(("environments", at))
        if name in (data.environments or ())[:at]:
            problems.append(
                Problem(document.file, line, f"environments: found {name!r} twice, expected it once")
            )
        elif known is not None and name not in known:
            names = ", ".join(known) or "none at all"
            text = f"environments: found {name!r}, expected one of environments.yaml: {names}"
            problems.append(Problem(document.file, line, text + did_you_mean(name, known)))
    return problems
