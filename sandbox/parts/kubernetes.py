"""Kubernetes' own control plane: API server, controller manager and scheduler."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path

import httpx
import yaml

from sandbox import binaries, certificates
from sandbox.parts.part import Part, PartError, Report
from sandbox.state import CHECKOUT, HOST, State
from sandbox.supervisor import Program

MANIFESTS = CHECKOUT / "sandbox" / "manifests"
_DEPLOY = CHECKOUT / "include" / "deploy" / "kubernetes"
_ACCOUNT = ("interlock", "interlock")  # namespace and name
_TOKEN_LIFETIME = "8760h"

# At its default of 20 requests a second the controller manager, not the cluster, sets the pace of a train.
_CONTROLLER_QPS, _CONTROLLER_BURST = 1000, 2000

_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "users": [f"system:serviceaccount:{_ACCOUNT[0]}:{_ACCOUNT[1]}"]},
        {"level": "None"},
    ],
}


def admin_kubeconfig(state: State) -> Path:
    """The kubeconfig of the administrator, the control plane and the node agent."""
    return state.root / "kubeconfig" / "admin.yaml"


def interlock_kubeconfig(state: State) -> Path:
    """The kubeconfig of the ServiceAccount interlock/interlock."""
    return state.root / "kubeconfig" / "interlock.yaml"


def client(state: State) -> httpx.Client:
    """An HTTP client of the API server with the administrator's rights."""
    keys = certificates.folder(state)
    context = ssl.create_default_context(cafile=str(keys / "ca.crt"))
    context.load_cert_chain(keys / "admin.crt", keys / "admin.key")
    return httpx.Client(base_url=f"https://{HOST}:{state.port('kube-apiserver')}", verify=context, timeout=5)


def kubectl(state: State, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run kubectl as the administrator."""
    options = [f"--kubeconfig={admin_kubeconfig(state)}", f"--cache-dir={state.run / 'kubectl'}"]
    command = [str(state.bin / "kubectl"), *options, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def apply(state: State, manifest: Path) -> None:
    """Create the objects of a file, or make those that exist as it says."""
    result = kubectl(state, "apply", "--server-side", "--force-conflicts", "-f", str(manifest))
    if result.returncode:
        raise PartError(f"kubectl apply -f {manifest}:\n{result.stderr.strip()}")


def create_missing(state: State, manifest: Path) -> bool:
    """Create the objects of a file that do not exist; the others stay as they have become since.

    Returns:
        Whether one was created.
    """
    result = kubectl(state, "create", "-f", str(manifest))
    problems = [line for line in result.stderr.splitlines() if "(AlreadyExists)" not in line]
    if result.returncode and problems:
        raise PartError(f"kubectl create -f {manifest}:\n" + "\n".join(problems))
    return "created" in result.stdout


class Kubernetes(Part):
    """The control plane, from one binary built of Kubernetes' own packages."""

    name = "kubernetes"
    time_limit = 60.0
    ports = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")

    def prepare(self, state: State, report: Report) -> None:
        """Fetch Istio's CRDs, make kubectl available, write the configuration."""
        binary = binaries.kube(report)
        binaries.istio_crds(report)
        kubectl_script = f'#!/bin/sh\nexec "{binary}" kubectl "$@"\n'
        state.write(state.bin / "kubectl", kubectl_script, mode=0o700)
        state.write_json(state.run / "audit-policy.json", _AUDIT_POLICY)
        keys = certificates.folder(state)
        user = {"client-certificate": str(keys / "admin.crt"), "client-key": str(keys / "admin.key")}
        _write_kubeconfig(state, admin_kubeconfig(state), "admin", user)

    def programs(self, state: State) -> tuple[Program, ...]:
        """The three programs of the control plane."""
        binary = str(binaries.kube(lambda _: None))
        flags = {
            "kube-apiserver": self._apiserver(state),
            "kube-controller-manager": self._controller_manager(state),
            "kube-scheduler": self._scheduler(state),
        }
        return tuple(
            Program(name, (binary, name, *(f"--{flag}={value}" for flag, value in settings.items())))
            for name, settings in flags.items()
        )

    def ready(self, state: State) -> bool:
        """Whether the API server, the controller manager and the scheduler say so."""
        with client(state) as api:
            if api.get("/readyz").status_code != 200:
                return False
            for name in ("kube-controller-manager", "kube-scheduler"):
                if api.get(f"https://{HOST}:{state.port(name)}/healthz").status_code != 200:
                    return False
        return True

    def configure(self, state: State) -> None:
        """Apply namespaces, Istio's CRDs and Interlock's rights, and write its kubeconfig."""
        crds = binaries.istio_crds(lambda _: None)
        for manifest in (MANIFESTS / "namespaces.yaml", crds, *sorted(_DEPLOY.glob("*.yaml"))):
            apply(state, manifest)
        namespace, name = _ACCOUNT
        result = kubectl(state, "create", "token", "-n", namespace, name, f"--duration={_TOKEN_LIFETIME}")
        if result.returncode:
            raise PartError(f"no token for the ServiceAccount {name}:\n{result.stderr.strip()}")
        user = {"token": result.stdout.strip()}
        _write_kubeconfig(state, interlock_kubeconfig(state), "interlock", user)

    def environment(self, state: State) -> Mapping[str, str]:
        """The administrator's kubeconfig."""
        return {"KUBECONFIG": str(admin_kubeconfig(state)), "KUBECACHEDIR": str(state.run / "kubectl")}

    def _apiserver(self, state: State) -> Mapping[str, object]:
        keys = certificates.folder(state)
        return {
            "bind-address": HOST,
            "advertise-address": HOST,
            "secure-port": state.port("kube-apiserver"),
            "endpoint-reconciler-type": "none",  # the default one refuses loopback addresses
            "service-cluster-ip-range": "10.96.0.0/16",
            "etcd-servers": f"https://{HOST}:{state.port('etcd')}",
            "etcd-cafile": keys / "ca.crt",
            "etcd-certfile": keys / "etcd.crt",
            "etcd-keyfile": keys / "etcd.key",
            "tls-cert-file": keys / "apiserver.crt",
            "tls-private-key-file": keys / "apiserver.key",
            "client-ca-file": keys / "ca.crt",
            "kubelet-client-certificate": keys / "admin.crt",
            "kubelet-client-key": keys / "admin.key",
            "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
            "service-account-key-file": keys / "service-accounts.pub",
            "service-account-signing-key-file": keys / "service-accounts.key",
            "authorization-mode": "RBAC",
            "anonymous-auth": "false",
            "audit-policy-file": state.run / "audit-policy.json",
            "audit-log-path": state.log / "audit.log",
            "audit-log-maxsize": 50,
            "audit-log-maxbackup": 2,
            "shutdown-delay-duration": "0s",
        }

    def _controller_manager(self, state: State) -> Mapping[str, object]:
        keys = certificates.folder(state)
        return {
            **self._component(state, "kube-controller-manager"),
            # The API server refuses the node's loopback addresses as endpoints, so these two could only
            # fill the log; the node agent finds a service's pods by itself.
            "controllers": "*,-endpoints-controller,-endpointslice-controller",
            "service-account-private-key-file": keys / "service-accounts.key",
            "root-ca-file": keys / "ca.crt",
            "use-service-account-credentials": "false",
            "kube-api-qps": _CONTROLLER_QPS,
            "kube-api-burst": _CONTROLLER_BURST,
        }

    def _scheduler(self, state: State) -> Mapping[str, object]:
        return {
            **self._component(state, "kube-scheduler"),
            "kube-api-qps": _CONTROLLER_QPS,
            "kube-api-burst": _CONTROLLER_BURST,
        }

    def _component(self, state: State, name: str) -> Mapping[str, object]:
        """The flags that the controller manager and the scheduler share."""
        keys, kubeconfig = certificates.folder(state), admin_kubeconfig(state)
        return {
            "kubeconfig": kubeconfig,
            "authentication-kubeconfig": kubeconfig,
            "authorization-kubeconfig": kubeconfig,
            "bind-address": HOST,
            "secure-port": state.port(name),
            "tls-cert-file": keys / "apiserver.crt",
            "tls-private-key-file": keys / "apiserver.key",
            "leader-elect": "false",
        }


def connection(state: State) -> Mapping[str, object]:
    """The Airflow connection of Interlock's ServiceAccount."""
    extra = {"kube_config_path": str(interlock_kubeconfig(state)), "namespace": "payments"}
    return {"conn_type": "kubernetes", "extra": extra}


def _write_kubeconfig(state: State, path: Path, user: str, credentials: Mapping[str, str]) -> None:
    cluster = {
        "server": f"https://{HOST}:{state.port('kube-apiserver')}",
        "certificate-authority": str(certificates.folder(state) / "ca.crt"),
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": cluster}],
        "users": [{"name": user, "user": dict(credentials)}],
        "contexts": [
            {"name": "sandbox", "context": {"cluster": "sandbox", "user": user, "namespace": "payments"}}
        ],
        "current-context": "sandbox",
    }
    state.write(path, yaml.safe_dump(document, sort_keys=False))
