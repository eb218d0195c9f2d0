"""Where Kiali shows something of a mesh: the paths of its console."""

from __future__ import annotations

from urllib.parse import quote, urlencode


def graph(kiali: str, namespace: str) -> str:
    """The traffic graph of a namespace; `kiali` is where Kiali answers, its web root included."""
    return f"{kiali.rstrip('/')}/console/graph/namespaces?{urlencode({'namespaces': namespace})}"


def workload(kiali: str, namespace: str, name: str) -> str:
    """The page of a workload; `kiali` is where Kiali answers, its web root included."""
    where = f"console/namespaces/{quote(namespace, safe='')}/workloads/{quote(name, safe='')}"
    return f"{kiali.rstrip('/')}/{where}"
