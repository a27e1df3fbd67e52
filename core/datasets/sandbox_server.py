"""Fork server of a process that reads untrusted files: it forks a sandbox process for each request.

It has imported what the sandbox processes need, which takes half a second, so that each of them
starts within milliseconds. It starts without the environment and the descriptors of its parent, has
a single thread, and never sees an untrusted byte. After a crash it takes no further requests: all
its sandbox processes have the same address layout, and a file could otherwise try one address after
another.

A request on the control socket is the name of a function, "package.module:name", and three
descriptors: `channel` and `stderr` of the sandbox process, and `lifeline`. On the lifeline the
server reports STARTED and, at the end, the exit status as text. When its other end is shut down,
because the client gave up or died, the server kills the sandbox process.
"""

import contextlib
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.abc import MetaPathFinder
from typing import NoReturn

from core.datasets.sandbox_child import serve

IDLE_S = 60.0  # without a sandbox process, after which the server exits and returns its memory
NAME_BYTES = 256
STARTED = b"+"


class _NoPandas(MetaPathFinder):
    """Let `import pandas` fail, as if pandas were not installed.

    pyarrow imports it for its first array, which takes half a second. No reader uses it.
    """

    def find_spec(self, fullname: str, _path: object, _target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("No reader uses pandas.", name=fullname)


class ForkServer:
    """Event loop that forks, kills and reaps sandbox processes until its client has gone."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._accepts_requests = True
        self._lifelines: dict[int, socket.socket] = {}  # by process id
        self._selector = selectors.DefaultSelector()
        self._child_ended, self._wakeup = socket.socketpair()
        for end in (self._child_ended, self._wakeup):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # otherwise it would not wake the loop
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        self._watch(self._child_ended, self._reap)
        self._watch(control, self._start)

    def run(self) -> None:
        while self._accepts_requests or self._lifelines:
            events = self._selector.select(IDLE_S)
            if not events and not self._lifelines:
                return
            for key, _ in events:
                key.data()

    def _watch(self, source: socket.socket, react: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, react)

    def _start(self) -> None:
        """Fork a sandbox process for the next request, or end with the client."""
        name, descriptors, _, _ = socket.recv_fds(self._control, NAME_BYTES, 3)
        if not name:
            self._refuse_requests()
            return
        channel, stderr, lifeline = descriptors
        function = name.decode().strip()
        with contextlib.suppress(Exception):  # the sandbox process will report the same error
            import_module(function.partition(":")[0])
        pid = os.fork()
        if pid == 0:
            os.close(lifeline)
            self._become_sandbox(function, channel, stderr)
        os.close(channel)
        os.close(stderr)
        self._lifelines[pid] = socket.socket(fileno=lifeline)
        self._watch(self._lifelines[pid], lambda: self._kill(pid))
        self._lifelines[pid].send(STARTED)

    def _become_sandbox(self, function: str, channel: int, stderr: int) -> NoReturn:
        """Run the function in this forked process, without any descriptor of the server."""
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            for own in (self._control, self._child_ended, self._wakeup, *self._lifelines.values()):
                own.close()
            os.dup2(stderr, 1)
            os.dup2(stderr, 2)
            os.close(stderr)
            serve(function, socket.socket(fileno=channel))
        finally:
            os._exit(1)

    def _kill(self, pid: int) -> None:
        """Kill a sandbox process and the processes it started; `_reap` reports its end."""
        self._selector.unregister(self._lifelines[pid])
        with contextlib.suppress(ProcessLookupError, PermissionError):  # has no group yet
            os.killpg(pid, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Report the exit status of each sandbox process that has ended."""
        self._child_ended.recv(4_096)
        for pid, lifeline in list(self._lifelines.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            with contextlib.suppress(KeyError):  # `_kill` has unregistered it
                self._selector.unregister(lifeline)
            exit_code = os.waitstatus_to_exitcode(status)
            with contextlib.suppress(OSError):  # the client has gone
                lifeline.send(str(exit_code).encode())
            lifeline.close()
            del self._lifelines[pid]
            if exit_code < 0:
                self._refuse_requests()

    def _refuse_requests(self) -> None:
        if self._accepts_requests:
            self._accepts_requests = False
            self._selector.unregister(self._control)
            self._control.close()


if __name__ == "__main__":
    sys.meta_path.insert(0, _NoPandas())
    ForkServer(socket.socket(fileno=int(sys.argv[1]))).run()
