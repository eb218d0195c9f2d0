"""The sandbox: Interlock's surroundings as real parts on one machine.

`python -m sandbox up` starts PostgreSQL, OpenBao (the Vault API), SeaweedFS (S3 with Object Lock), a
Kubernetes control plane with a node agent, and Airflow, all on 127.0.0.1 and all from package registries.
"""
