r"""A rollout without a train: look at a secret in Vault, set an image and wait, record what was done.

The secret is `interlock/service-a` under the mount of the connection `interlock_vault`; of it only key names,
version and age are read. To put one into the sandbox, after `. .sandbox/env`:

    curl -H "X-Vault-Token: $VAULT_TOKEN" -d '{"data": {"api_key": "example"}}' \
      "$VAULT_ADDR/v1/secret/data/interlock/service-a"
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, Param

from interlock.operators.evidence import EvidenceOperator
from interlock.operators.kubernetes import RolloutOperator
from interlock.operators.vault import VaultSecretsOperator

with DAG(
    dag_id="example_rollout",
    description="Roll out one image without a train, with evidence",
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "image": Param(
            "registry.internal/service-a:1.1.0", type="string", description="Image with a tag or a digest"
        )
    },
    tags=["interlock", "example"],
    doc_md=__doc__,
) as dag:
    secrets = VaultSecretsOperator(task_id="secrets", paths=["interlock/service-a"])
    rollout = RolloutOperator(
        task_id="rollout",
        namespace="payments",
        name="service-a",
        container="app",
        image="{{ params.image }}",
        deadline=120,
    )
    evidence = EvidenceOperator(
        task_id="evidence",
        predicate_type="promote",
        fields={
            "service": "service-a",
            "ref": "Deployment/service-a",
            "outcome": "complete",
            "writes": [
                {
                    "path": "spec.template.spec.containers[name=app].image",
                    "before": "{{ ti.xcom_pull(task_ids='rollout', key='before')['app'] }}",
                    "after": "{{ params.image }}",
                }
            ],
        },
    )
    secrets >> rollout >> evidence
