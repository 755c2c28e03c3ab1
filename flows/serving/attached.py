"""A Prefect command that ends when its parent does.

`python -m vesselforge.flows.serving.attached worker start`
"""

from __future__ import annotations

import runpy
import signal
import sys

from vesselforge.engine.processes.lifetimes import die_with_parent

if __name__ == "__main__":
    die_with_parent(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a worker that ignores it never ends
    sys.argv[0] = "prefect"
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)
