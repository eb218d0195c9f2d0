"""The sandbox's mesh: what istiod does, for one machine.

From the live objects of Istio's API to what the Envoy of each pod is told (`snapshot.py`), a certificate
authority (`authority.py`) and the server that tells it (`control_plane.py`). Policies are translated as
istiod does, and Envoy decides: nothing here imports `interlock.mesh`, which is compared with it.
"""
