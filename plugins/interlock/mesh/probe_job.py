"""The Job that runs the mesh probe: a pod in the mesh whose own connections no sidecar takes.

An injected pod gets a certificate; what it needs beyond that Istio's documents show for Prometheus' scraping
over mTLS: the sidecar leaves the certificate in a folder (`OUTPUT_CERTS`) that both containers mount, and
captures nothing that leaves the pod. So the probe itself decides what is plaintext and what is mTLS.
"""

from __future__ import annotations

import json

from interlock.manifest import PREFIX, Manifest
from interlock.mesh.gate import Probe
from interlock.mesh.probe_plan import ProbePlan
from interlock.mesh_probe import CERTIFICATES, SECONDS, TARGETS

CONTAINER = "probe"
PROBE_LABEL = f"{PREFIX}probe"
"""The label of the Job and of its pod; its value is the Job's name."""
KEPT_SECONDS = 600
"""A Job that nobody deletes is gone so long after its end."""
PROBE_SECONDS = 60
"""For all connections together."""
DEADLINE_SECONDS = PROBE_SECONDS + 60
"""The Job's own: also until the image is there and the sidecar runs."""
_FOLDER = "/etc/istio-output-certs"
_VOLUME = "istio-certs"
_PATHS = "/opt/airflow/plugins:/usr/local/airflow/plugins"
"""Where the package is in images of Airflow and of Astro."""
_USER = 50000


def job(settings: Probe, plan: ProbePlan, *, namespace: str, name: str, owner: str = "") -> Manifest:
    """The Job of a plan.

    Args:
        settings: Image and service account.
        plan: What is tried.
        namespace: Where the Job runs: that of the services, so that it has an identity there.
        name: The Job's name, which no other has.
        owner: The run that it belongs to, for people; empty for none.
    """
    labels = {"app.kubernetes.io/managed-by": "interlock", PROBE_LABEL: name}
    owned = {f"{PREFIX}run": owner} if owner else {}
    mount = [{"name": _VOLUME, "mountPath": _FOLDER}]
    container = {
        "name": CONTAINER,
        "image": settings.image,
        "command": ["python3", "-m", "interlock.mesh_probe"],
        "env": [
            {"name": "PYTHONPATH", "value": _PATHS},
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
            {"name": CERTIFICATES, "value": _FOLDER},
            {"name": SECONDS, "value": str(PROBE_SECONDS)},
            {"name": TARGETS, "value": json.dumps([target.to_json() for target in plan.targets])},
        ],
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"cpu": "500m", "memory": "128Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mount,
    }
    pod = {
        "restartPolicy": "Never",
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": False,
        # A Service's name in variables would only make the environment long.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": _VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
    }
    return Manifest.of(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"namespace": namespace, "name": name, "labels": labels, "annotations": owned},
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": DEADLINE_SECONDS,
                "ttlSecondsAfterFinished": KEPT_SECONDS,
                "template": {
                    "metadata": {
                        "labels": {**labels, "sidecar.istio.io/inject": "true"},
                        "annotations": _annotations(mount),
                    },
                    "spec": pod,
                },
            },
        }
    )


def _annotations(mount: list[dict[str, str]]) -> dict[str, str]:
    return {
        "traffic.sidecar.istio.io/includeInboundPorts": "",
        "traffic.sidecar.istio.io/includeOutboundIPRanges": "",
        "proxy.istio.io/config": json.dumps(
            {"holdApplicationUntilProxyStarts": True, "proxyMetadata": {"OUTPUT_CERTS": _FOLDER}}
        ),
        "sidecar.istio.io/userVolumeMount": json.dumps(mount),
        # Its traffic is no service's.
        "prometheus.io/scrape": "false",
    }
