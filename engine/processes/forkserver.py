"""A process that has loaded what its children need, and forks one for each piece of work.

The parent's end; `engine.processes.forking` is the server's.

PyTorch and what stands on it take seconds of the processor to import, which a run of a dozen short
stages in fresh processes paid a dozen times. The server imports a module when the first piece of
work that needs it is asked for, works on nothing itself, and has one thread. `multiprocessing` has
such a server, too; it pickles its messages, and has no streams for a child.

Linux: elsewhere no process can be told to die with its parent, and forking is not safe.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, cast


class ForkServer:
    """The parent's end of a server that `command`, followed by the number of a socket, starts.

    The command calls `forking.serve`. It dies with this process, its children with it.
    environment: its own, which libraries read when they are loaded. Raises OSError if it cannot be
    started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._owner = os.getpid()
        started: list[BaseException | None] = []
        ready = threading.Event()

        def live() -> None:
            """Linux tells a child that its parent is gone when the thread that started it ends:
            this one lasts as long as the server."""
            try:
                process = subprocess.Popen(
                    [*command, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=dict(environment),
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            except BaseException as error:
                started.append(error)
                ready.set()
                return
            started.append(None)
            ready.set()
            process.wait()

        self._life = threading.Thread(target=live, name="fork server", daemon=True)
        self._life.start()
        ready.wait()
        theirs.close()
        if started[0] is not None:
            self._line.close()
            raise started[0]

    def usable(self) -> bool:
        """Whether it lives and was started by this process, not by one that this is a fork of."""
        return self._life.is_alive() and self._owner == os.getpid()

    def start(self, modules: Sequence[str], environment: Mapping[str, str]) -> Forked:
        """A child that has imported the modules. Raises OSError when the server has just died."""
        pipes = [os.pipe() for _ in range(3)]
        mine, theirs = socket.socketpair()
        # In a file of memory, for a message has room for 200 KiB, and an environment may have more.
        request = os.memfd_create("request")
        ends = [pipes[0][0], pipes[1][1], pipes[2][1], request]
        try:
            wanted = {"modules": [*modules], "environment": dict(environment)}
            with os.fdopen(os.dup(request), "w") as file:
                json.dump(wanted, file)
            socket.send_fds(self._line, [b"start"], [*ends, theirs.fileno()])
        except BaseException:
            for fd in (pipes[0][1], pipes[1][0], pipes[2][0]):
                os.close(fd)
            mine.close()
            raise
        finally:
            for fd in ends:
                os.close(fd)
            theirs.close()
        return Forked(mine, (pipes[0][1], pipes[1][0], pipes[2][0]))

    def close(self, seconds: float = 0.0) -> None:
        """No more requests: it ends when its last child has. Wait at most so long for that."""
        if self._owner == os.getpid():
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)
        self._line.close()
        self._life.join(seconds)


class KeptServer:
    """A fork server that is there when it is needed: started for the first request, and again when
    it has died or a child needs what it does not have.

    late: names of variables that may differ from the server's own, for nothing reads them before
    a child works.
    """

    def __init__(self, command: Sequence[str], late: Collection[str] = ()) -> None:
        self._command, self._late = command, late
        self._lock = threading.Lock()
        self._server: ForkServer | None = None
        self._like: tuple[Path, dict[str, str]] | None = None
        atexit.register(self.close)

    def start(self, modules: Sequence[str], environment: Mapping[str, str]) -> Forked:
        """A child that has imported the modules. Raises OSError when no server can be started."""
        early = {name: value for name, value in environment.items() if name not in self._late}
        like = (Path.cwd(), early)
        with self._lock:
            if self._server is None or not self._server.usable() or self._like != like:
                self._drop(0)
            else:
                with contextlib.suppress(BrokenPipeError, ConnectionError):
                    return self._server.start(modules, environment)
                self._drop(0)  # it has died a moment ago
            self._server, self._like = ForkServer(self._command, environment), like
            return self._server.start(modules, environment)

    def close(self, seconds: float = 2.0) -> None:
        """It ends when its last child has; wait at most so long for that."""
        with self._lock:
            self._drop(seconds)

    def _drop(self, seconds: float) -> None:
        if self._server is not None:
            self._server.close(seconds)
        self._server = None


class Forked:
    """A child of a server, as `subprocess.Popen` shows a child of one's own.

    returncode: as there; −9, too, when the server died, for its children die with it.
    """

    def __init__(self, line: socket.socket, ends: tuple[int, int, int]) -> None:
        self.stdin: IO[str] | None = os.fdopen(ends[0], "w")
        self.stdout: IO[str] | None = os.fdopen(ends[1], errors="replace")
        self.stderr: IO[str] | None = os.fdopen(ends[2], errors="replace")
        self.returncode: int | None = None
        self._line = line

    def poll(self) -> int | None:
        """The exit status, once it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status; raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._line, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired("a forked process", cast(float, timeout))
            try:
                told = self._line.recv(16)
            except ConnectionError:
                told = b""
            self.returncode = int(told) if told else -signal.SIGKILL
            self._line.close()
        return self.returncode

    def terminate(self) -> None:
        """SIGTERM, if it lives."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, if it lives."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        """By the server, which alone knows that the number of the process is still the child's."""
        if self.poll() is None:
            with contextlib.suppress(OSError):
                self._line.send(bytes([number]))
