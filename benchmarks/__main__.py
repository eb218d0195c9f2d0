"""The command line: `python -m benchmarks` measures trains, `python -m benchmarks evidence` the log."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import evidence, machine, project, report
from benchmarks.cluster import ClusterError
from benchmarks.graph import Graph, layered
from benchmarks.result import BY_HAND, OURS, figures, raw
from benchmarks.train_run import Bench, RunFailed
from sandbox.parts.kubernetes import interlock_kubeconfig
from sandbox.state import CHECKOUT, State

_SIZES = "3,12,50,200"
_FOLDER = CHECKOUT / ".sandbox-benchmark"


def main(arguments: list[str] | None = None) -> int:
    """Bring a sandbox up, run the trains, write the figures; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["evidence"]:
        return evidence.main(arguments[1:])
    options = _parser().parse_args(arguments)
    graphs = [layered(size, options.seed) for size in options.sizes]
    state = State(options.folder.absolute())
    include = state.root / "benchmark-include"
    os.umask(0o077)
    state.create()
    variables = {
        "KUBECONFIG": str(interlock_kubeconfig(state)),
        "KUBECACHEDIR": str(state.run / "kubectl"),
        "PATH": f"{state.bin}:{os.environ['PATH']}",
    }
    project.write_include(include, graphs, soak=options.soak, environment=variables)
    try:
        # Airflow's programs keep the plugins that they started with.
        _sandbox(state, "stop", include)
        if code := _sandbox(state, "up", include):
            return code
        return _measure(state, graphs, options)
    except (RunFailed, ClusterError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    finally:
        if options.keep:
            print(f"The sandbox goes on running; INTERLOCK_SANDBOX={state.root} make clean ends it.")
        else:
            _sandbox(state, "clean", include)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Trains of several sizes, Interlock's and the same graph by hand, one after another in a "
        "sandbox of their own. Writes the raw figures and a Markdown section. "
        "`python -m benchmarks evidence` measures the evidence log.",
    )
    parser.add_argument("--sizes", type=_sizes, default=_SIZES, help=f"services of each train; {_SIZES}")
    parser.add_argument("--ways", type=_ways, default=(OURS, BY_HAND), help=f"{OURS},{BY_HAND}: one or both")
    parser.add_argument("--seed", type=int, default=7, help="of the graphs; 7")
    parser.add_argument("--ready", type=float, default=15, help="seconds until a pod is ready; 15")
    parser.add_argument("--soak", type=float, default=15, help="seconds that a release has to hold; 15")
    parser.add_argument("--keep", action="store_true", help="leave the sandbox running")
    parser.add_argument("--folder", type=Path, default=_FOLDER, help="the sandbox's folder")
    parser.add_argument("--results", type=Path, help="file for all that was recorded, as JSON")
    parser.add_argument("--markdown", type=Path, help="file whose section of figures is written")
    return parser


def _sizes(text: str) -> list[int]:
    sizes = [int(word) for word in text.split(",")]
    if min(sizes) < 1 or len(set(sizes)) < len(sizes):
        raise argparse.ArgumentTypeError("expected different numbers from 1 up, such as 3,12")
    return sizes


def _ways(text: str) -> tuple[str, ...]:
    ways = tuple(text.split(","))
    if not set(ways) <= {OURS, BY_HAND} or len(set(ways)) < len(ways):
        raise argparse.ArgumentTypeError(f"expected {OURS}, {BY_HAND}, or both with a comma between them")
    return ways


def _sandbox(state: State, command: str, include: Path) -> int:
    variables = {
        "INTERLOCK_SANDBOX": str(state.root),
        "INTERLOCK_INCLUDE": str(include),
        "INTERLOCK_SANDBOX_DAGS": str(project.DAGS),
    }
    return subprocess.run(
        [sys.executable, "-m", "sandbox", command], cwd=CHECKOUT, env={**os.environ, **variables}, check=False
    ).returncode


def _measure(state: State, graphs: list[Graph], options: argparse.Namespace) -> int:
    bench = Bench(state, options.ready, options.soak)
    bench.prepare()
    summary: dict[str, Any] = {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": machine.machine(),
        "versions": machine.versions(state),
        "limits": machine.limits(state),
        "settings": {name: getattr(options, name) for name in ("sizes", "seed", "ready", "soak")},
        "runs": [],
    }
    records: list[dict[str, Any]] = []
    plan = [(graph, way) for graph in graphs for way in options.ways]
    for number, (graph, way) in enumerate(plan, 1):
        head = f"[{number}/{len(plan)}] {graph.size} services, {way}"
        began = time.monotonic()
        record = bench.run(way, graph, head)
        found = figures(record)
        summary["runs"].append(found)
        records.append(raw(record))
        print(
            f"{head}: {found['makespan']:.1f} s, critical path {found['bound']:.0f} s "
            f"({time.monotonic() - began:.0f} s with its preparation)",
            flush=True,
        )
        # What was measured so far outlives a later train that fails.
        if options.results:
            options.results.parent.mkdir(parents=True, exist_ok=True)
            options.results.write_text(json.dumps({**summary, "records": records}, indent=1, default=str))
    section = report.markdown(summary)
    print(section)
    if options.markdown:
        report.put(options.markdown, section)
    return 0


if __name__ == "__main__":
    sys.exit(main())
