"""The server's end of `forkserver`: imports, forks, passes signals on; has one thread."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from vesselforge.engine.processes.lifetimes import die_with_parent


def serve(fd: int, work: Callable[[], None]) -> NoReturn:
    """Be the server on this socket; every child calls `work` and ends as a program does by itself.

    Before that it is the leader of a session, has the streams and environment that were asked for,
    dies with the server, and has imported the modules unless that raised: then it is for the child
    to import them again, and to fail.
    """
    die_with_parent(signal.SIGKILL)
    _Server(socket.socket(fileno=fd)).run()
    status = 1
    try:
        work()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(status)  # taking PyTorch's modules apart takes 1.2 s, and nobody needs them apart


Handler = Callable[[int, Any], Any] | int | None


class _Server:
    """control: where requests come in. Its children's lines carry signals in, exit statuses out."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._lines: dict[int, socket.socket] = {}
        """Child → its line, until it has been waited for."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, self._request)
        self._woken, self._wake = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, self._reap)
        for end in (self._woken, self._wake):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        # Who stops a whole group of processes means that the stages save, not that they die.
        ignored = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._handlers: dict[int, Handler] = {n: signal.signal(n, signal.SIG_IGN) for n in ignored}
        self._handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        self._asked = True

    def run(self) -> None:
        """Until nobody can ask any more and every child has ended. Returns only in children."""
        while self._asked or self._lines:
            for key, _ in self._selector.select():
                if key.data():
                    return
        os._exit(0)

    def _request(self) -> bool:
        """Fork for the next request; true in the child."""
        try:
            message, fds, _, _ = socket.recv_fds(self._control, 16, 5)
        except ConnectionError:
            message, fds = b"", []
        if not message:
            self._selector.unregister(self._control)
            self._asked = False
            return False
        with os.fdopen(fds[3]) as file:
            file.seek(0)
            request = json.load(file)
        for number, fd in enumerate(fds[:3]):
            os.dup2(fd, number)  # what libraries print while they are imported is the child's, too
            os.close(fd)
        line = socket.socket(fileno=fds[4])
        for module in request["modules"]:
            with contextlib.suppress(Exception):
                importlib.import_module(module)
        sys.stdout.flush()
        sys.stderr.flush()
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            line.close()
            self._become(request, server)
            return True
        self._lines[pid] = line
        self._selector.register(line, selectors.EVENT_READ, lambda: self._signal(pid))
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        os.close(null)
        return False

    def _become(self, request: dict[str, Any], server: int) -> None:
        die_with_parent(signal.SIGKILL)
        if os.getppid() != server:
            os._exit(1)
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._selector.close()
        for file in (self._control, self._woken, self._wake, *self._lines.values()):
            file.close()
        os.environ.clear()
        os.environ.update(request["environment"])

    def _signal(self, pid: int) -> None:
        """Pass on what the parent sent; the child has not been waited for, so `pid` is its."""
        line = self._lines.get(pid)
        if line is None:  # it ended at the same time, and that was seen first
            return
        try:
            numbers = line.recv(16)
        except ConnectionError:
            numbers = b""
        for number in numbers:
            os.kill(pid, number)
        if not numbers:
            self._selector.unregister(line)  # nobody listens any more

    def _reap(self) -> None:
        """Tell the exit statuses of those that have ended."""
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(1024)
        for pid, line in list(self._lines.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                with contextlib.suppress(OSError):
                    line.sendall(str(os.waitstatus_to_exitcode(status)).encode())
                with contextlib.suppress(KeyError):
                    self._selector.unregister(line)
                self._lines.pop(pid)
                line.close()
