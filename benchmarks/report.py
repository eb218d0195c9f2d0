"""The figures as Markdown, and what they say of the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.breakdown import STEPS
from benchmarks.processor import WORKERS
from benchmarks.result import BY_HAND, OURS

BEGIN, END = "<!-- figures: written by `make bench-trains` -->", "<!-- end of figures -->"
NOTICING_SECONDS = 1.0
REQUESTS_PER_SERVICE = 10.0
FIXED_SECONDS, SECONDS_PER_SERVICE = 5.0, 4.0

Figures = Mapping[str, Any]


def targets(rows: Sequence[Figures]) -> list[tuple[str, bool, str]]:
    """What was aimed at: the target, whether it was met, and the figures."""
    ours = {row["services"]: row for row in rows if row["way"] == OURS}
    by_hand = {row["services"]: row for row in rows if row["way"] == BY_HAND}
    found = []
    for size in sorted(ours.keys() & by_hand.keys()):
        mine, theirs = ours[size]["makespan"], by_hand[size]["makespan"]
        found.append(
            (f"{size} services: not slower than by hand", mine <= theirs, f"{mine:.0f} s, {theirs:.0f} s")
        )
        if size >= 200:
            share = mine / theirs
            found.append((f"{size} services: at most half of by hand", share <= 0.5, f"{share:.2f}"))
    for size, row in sorted(ours.items()):
        if size >= 12:
            allowed = FIXED_SECONDS + SECONDS_PER_SERVICE * row["depth"]
            over = row["makespan"] - row["bound"]
            target = f"{size} services: at most {allowed:.0f} s over the critical path"
            found.append((target, over <= allowed, f"{over:.1f} s"))
        p99 = row["noticing"]["p99"]
        found.append(
            (f"{size} services: readiness noticed within 1 s (p99)", p99 <= NOTICING_SECONDS, f"{p99:.2f} s")
        )
        asked = row["requests_per_service"]
        found.append(
            (f"{size} services: at most 10 requests for each", asked <= REQUESTS_PER_SERVICE, f"{asked:.1f}")
        )
    return found


def markdown(summary: Mapping[str, Any]) -> str:
    """The section with the figures."""
    rows: Sequence[Figures] = summary["runs"]
    parts = [
        _about(summary),
        "### Makespan",
        _makespans(rows),
        "### Targets",
        table(
            ("target", "met", "measured"),
            [(target, "yes" if met else "**no**", said) for target, met, said in targets(rows)],
        ),
        "### Where the time goes",
        "Mean seconds for each service on the path that the run waited for, beyond the delays themselves.",
        _path(rows),
        "### Noticing that a pod is ready",
        _noticing(rows),
        "### Worker slots and memory",
        _slots(rows),
        "### Processor time",
        "Seconds of processor time over the whole run; the workers' contain the tasks'.",
        _processor(rows),
        "### Requests to the Kubernetes API server",
        _requests(rows),
        "### Tasks",
        "Median seconds of each kind of task: until it was queued and started, in the worker, deferred. "
        "`preflight` and `verify` never are in a worker.",
        _kinds(rows),
    ]
    return "\n\n".join(parts)


def put(file: Path, section: str, begins: str = BEGIN, ends: str = END) -> None:
    """Write the section into a file, between its marks; what else the file says stays."""
    text = file.read_text() if file.exists() else f"# Benchmarks\n\n{begins}\n{ends}\n"
    before, begin, rest = text.partition(begins)
    _, end, after = rest.partition(ends)
    if not begin or not end:
        raise ValueError(
            f"{file}: the figures go between {begins!r} and {ends!r}, and these lines are not there"
        )
    file.write_text(f"{before}{begins}\n\n{section}\n\n{ends}{after}")


def _about(summary: Mapping[str, Any]) -> str:
    def listed(name: str) -> str:
        return "; ".join(f"{key} {value}" for key, value in summary[name].items())

    settings = summary["settings"]
    return "\n".join(
        (
            f"- **When**: {summary['date']}",
            f"- **Machine**: {listed('machine')}",
            f"- **Versions**: {listed('versions')}",
            f"- **Limits**: {listed('limits')}",
            f"- **Trains**: seed {settings['seed']}; a pod is ready after {settings['ready']:g} s, "
            f"a release has to hold for {settings['soak']:g} s",
        )
    )


def _makespans(rows: Sequence[Figures]) -> str:
    by_hand = {row["services"]: row["makespan"] for row in rows if row["way"] == BY_HAND}
    found = []
    for row in rows:
        other = by_hand.get(row["services"])
        found.append(
            (
                row["services"],
                row["depth"],
                row["way"],
                f"{row['bound']:.0f} s",
                f"{row['makespan']:.1f} s",
                f"{row['makespan'] / row['bound']:.2f}",
                f"{row['makespan'] / other:.2f}" if other else "",
                row["tasks"],
                f"{row['load'][0]:.1f}, {row['load'][1]:.1f}",
            )
        )
    head = (
        "services",
        "on the path",
        "",
        "critical path",
        "makespan",
        "to the path",
        "to by hand",
        "tasks",
        "load before, after",
    )
    return table(head, found)


def _path(rows: Sequence[Figures]) -> str:
    head = ("services", "", *STEPS, "sum", "before the first service", "after the last")
    found = []
    for row in rows:
        steps = row["mean_steps_on_path"]
        found.append(
            (
                row["services"],
                row["way"],
                *(f"{steps[step]:.2f}" for step in STEPS),
                f"{sum(steps.values()):.2f}",
                f"{row['before_the_first_service']:.1f}",
                f"{row['after_the_last_service']:.1f}",
            )
        )
    return table(head, found)


def _noticing(rows: Sequence[Figures]) -> str:
    head = (
        "services",
        "",
        "from the pod's readiness: p50",
        "p99",
        "most",
        "from the workload's status: p50",
        "p99",
    )
    found = []
    for row in rows:
        pod, status = row["noticing"], row["noticing_after_status"]
        shown = (pod["p50"], pod["p99"], pod["most"], status["p50"], status["p99"])
        found.append((row["services"], row["way"], *(f"{value:.2f} s" for value in shown)))
    return table(head, found)


def _slots(rows: Sequence[Figures]) -> str:
    head = (
        "services",
        "",
        "slots: mean",
        "most",
        "mean in each tenth of the run",
        "most queued",
        "triggerer: first, most",
        "workers: first, most",
    )
    found = []
    for row in rows:
        slots, memory = row["slots"], row["memory"]
        found.append(
            (
                row["services"],
                row["way"],
                f"{slots['mean']:.1f}",
                f"{slots['most']:.0f}",
                " ".join(f"{value:.0f}" for value in slots["tenths"]),
                slots["most_queued"],
                f"{_mib(memory['triggerer_first'])}, {_mib(memory['triggerer_most'])} MiB",
                f"{_mib(memory['workers_first'])}, {_mib(memory['workers_most'])} MiB",
            )
        )
    return table(head, found)


def _processor(rows: Sequence[Figures]) -> str:
    found = []
    for row in rows:
        used = row["processor"]
        named = ", ".join(f"{name} {value:.0f}" for name, value in used.items() if value >= 0.5)
        each = used.get(WORKERS, 0.0) / row["services"]
        found.append((row["services"], row["way"], f"{sum(used.values()):.0f}", f"{each:.1f}", named))
    return table(("services", "", "sum", "workers, for each service", "of these"), found)


def _requests(rows: Sequence[Figures]) -> str:
    found = []
    for row in rows:
        kinds = ", ".join(f"{kind} {count / row['services']:.1f}" for kind, count in row["requests"].items())
        found.append((row["services"], row["way"], f"{row['requests_per_service']:.1f}", kinds))
    return table(("services", "", "for each service", "of these"), found)


def _kinds(rows: Sequence[Figures]) -> str:
    found = []
    for row in rows:
        for kind, spans in row["task_kinds"].items():
            names = ("until_queued", "until_started", "in_worker", "deferred")
            found.append(
                (
                    row["services"],
                    row["way"],
                    kind,
                    spans["tasks"],
                    *(f"{spans[name]:.2f}" for name in names),
                )
            )
    return table(
        ("services", "", "task", "how many", "until queued", "until started", "in the worker", "deferred"),
        found,
    )


def _mib(size: float) -> str:
    return f"{size / 2**20:.0f}"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
