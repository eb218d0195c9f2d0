"""The sandbox's mesh: what istiod does, for one machine.

From the live objects of Istio's API (`live.py`) to what the Envoy of each pod is told (`snapshot.py`,
`sidecars.py`), a certificate authority (`authority.py`), the server that tells it (`control_plane.py`),
and the webhook that injects (`injection.py`, `injector.py`). The node agent runs the Envoys. Policies are
translated as istiod does, and Envoy decides: nothing here imports `interlock.mesh`, which is compared with
it.
"""
