"""The sandbox's node: a small agent in the place of a kubelet and a CNI.

It registers one Node, gives each pod bound to it an address of its own in 127.20.0.0/16, runs the pods'
processes there and reports what a kubelet would report. What it does differently, on purpose:

* A container's program is `service.py`, steered by `releases.yaml`; nothing is pulled or unpacked.
* Back-off after a crash begins at 1 second and ends at 30 (kubelet: 10 seconds to 5 minutes), so that
  a demonstration of a crash loop takes seconds.
* Containers end with the agent. A restarted agent starts them anew and counts a restart, as a kubelet
  does after the machine was rebooted.
* Pods annotated `sandbox.interlock.internal/process: none` cost no process; they are reported only.
* Init containers, volumes, resource limits, `exec` and `attach` are not implemented.
"""
