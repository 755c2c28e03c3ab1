"""The first module that the fork server of `forked` loads: it ends with the process that started
it, and its children with it. Importing this changes the process; nothing else imports it."""

from __future__ import annotations

import os
import signal

from vesselforge.engine.processes.lifetimes import die_with_parent

SERVER = os.getpid()
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Who sends these to a whole group of processes means that stages save, not that they die."""


def _begin_child() -> None:
    if os.getppid() == SERVER:  # else it is a process that a stage starts
        die_with_parent(signal.SIGKILL)
        for number in STOPPING:
            signal.signal(number, signal.SIG_DFL)


die_with_parent(signal.SIGKILL)
os.setsid()
for number in STOPPING:
    signal.signal(number, signal.SIG_IGN)
os.register_at_fork(after_in_child=_begin_child)
null = os.open(os.devnull, os.O_RDWR)
for stream in range(3):  # what modules print while they are loaded belongs to no stage
    os.dup2(null, stream)
os.close(null)
