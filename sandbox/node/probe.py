"""The mesh probe as a node of the sandbox starts it: `python -I -S probe.py`, no `python -m`, no package.

No container's file system is here, so the folder of the pod's certificate is where the node has its volume,
and the package is that of the checkout. There is no agent beside the sidecar that could be asked to end it:
the node ends it with the Job.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins"))

from interlock.mesh_probe import CERTIFICATES, main


def environment() -> dict[str, str]:
    """The container's environment, with the node's folder in place of the mounted one."""
    folders = json.loads(os.environ["SANDBOX_VOLUMES"])
    asked = os.environ[CERTIFICATES]
    return {**os.environ, CERTIFICATES: folders.get(asked, asked)}


if __name__ == "__main__":
    sys.exit(main(environment(), sys.stdout, lambda: None))
