"""Where a cluster is and who asks: a `kubernetes` connection as settings, and these as a kubeconfig."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from lightkube.config.kubeconfig import KubeConfig

from interlock.connections import Connection, ConnectionMissing


@dataclass(frozen=True)
class KubernetesSettings:
    """How the Kubernetes API is found; with none of these, as kubectl finds it.

    Attributes:
        in_cluster: by the ServiceAccount of the pod that this runs in; goes before the other two.
        config: a kubeconfig's content; goes before `config_path`.
        config_path: a kubeconfig's path.
        context: the kubeconfig's context; None means its current one.
    """

    in_cluster: bool = False
    config: Mapping[str, Any] | None = field(default=None, repr=False)
    config_path: str | None = None
    context: str | None = None

    @classmethod
    def of_connection(cls, found: Connection) -> Self:
        """The settings that a `kubernetes` connection describes, by its extra.

        Used: `in_cluster`, `kube_config_path`, `kube_config` (an object, or its JSON) and `cluster_context`.

        Raises:
            ConnectionMissing: `kube_config` is no JSON object.
        """
        config = found.extra.get("kube_config") or None
        if isinstance(config, str):
            try:
                config = json.loads(config)
            except ValueError:
                config = False
        if config is not None and not isinstance(config, Mapping):
            raise ConnectionMissing(f"connection {found.name}: its extra's kube_config is no JSON object")
        return cls(
            in_cluster=found.is_true("in_cluster"),
            config=config,
            config_path=found.extra.get("kube_config_path") or None,
            context=found.extra.get("cluster_context") or None,
        )

    def kubeconfig(self) -> KubeConfig:
        """The kubeconfig to use."""
        if self.in_cluster:
            return KubeConfig.from_service_account()
        if self.config is not None:
            return KubeConfig.from_dict(dict(self.config))
        if self.config_path:
            return KubeConfig.from_file(self.config_path)
        return KubeConfig.from_env()
