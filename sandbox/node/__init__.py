"""The sandbox's node: a small agent in the place of a kubelet and a CNI.

It registers one Node, gives each pod bound to it an address of its own in 127.20.0.0/16, runs the pods'
processes there and reports what a kubelet would report. What it does differently, on purpose:

* An image stands for a program of this package, or for Envoy, as `releases.yaml` says; nothing is pulled or
  unpacked.
* The program of a pod with a sidecar listens at 127.21.x.y, its sidecar at the pod's address 127.20.x.y.
* Back-off after a crash begins at 1 second and ends at 30 (kubelet: 10 seconds to 5 minutes), so that
  a demonstration of a crash loop takes seconds.
* Containers end with the agent. A restarted agent starts them anew and counts a restart, as a kubelet
  does after the machine was rebooted.
* Pods annotated `sandbox.interlock.internal/process: none` cost no process; they are reported only.
* A volume of kind emptyDir is a folder; other volumes, init containers, resource limits, `exec` and
  `attach` are not implemented.
"""
