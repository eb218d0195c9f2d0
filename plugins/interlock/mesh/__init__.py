"""Mesh security of sidecars: from Istio's and Kubernetes' objects to verdicts, each with its reasons.

`Mesh.of` takes the objects; `ports`, `outbound`, `authorize`, `callers`, `injection` and `findings` judge
them. Istio's own code is the reference (istio.io/istio at the commit of 2026-08-27; each module names the
files it follows). What the objects can't decide is `Answer.INDETERMINATE`, never a pass.

Everything here decides and nothing acts: frozen values in, frozen values out, nothing is read and no clock
asked. docs/mesh.md shows how to call it.
"""
