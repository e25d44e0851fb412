"""Kernels that need not import pandas, SciPy, scikit-learn and matplotlib again: copies of a server that has (`medlib.report.fork`).

A process has one server, which starts with the first kernel and ends with the process, however that ends. Where there can be none, kernels
start as ever.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Pipe
from multiprocessing.reduction import send_handle
from typing import TYPE_CHECKING

from medlib.report import fork

if TYPE_CHECKING:
    from jupyter_client import AsyncKernelManager
    from jupyter_client.provisioning import LocalProvisioner

#: Seconds that the server is given to answer; before the first answer it imports.
PATIENCE = 120.0
#: Beginnings of the names of variables that no package reads while it is imported: a server serves kernels that differ in them.
IGNORED = ("MEDLIB_", "JPY_", "PYTEST_")
#: Elsewhere (macOS) the system's libraries may not survive being copied.
POSSIBLE = sys.platform == "linux"


class Server:
    """A server of this process.

    Parameters
    ----------
    python : sequence of str
        The interpreter and its options.
    environment : mapping of str to str
        What the packages see while they are imported.
    """

    def __init__(self, python: Sequence[str], environment: Mapping[str, str]):
        self.owner, self.python, self.environment, self.useful = os.getpid(), list(python), dict(environment), False
        self._turn = threading.Lock()
        self._channel, theirs = Pipe()
        with theirs:
            # By a line of source, for the folder of a script would come first in the path, and `secrets` there is not Python's.
            self.process = subprocess.Popen(
                [*python, "-c", "import sys; exec(open(sys.argv[1]).read())", fork.__file__, str(theirs.fileno())], pass_fds=(theirs.fileno(),),
                cwd="/", env=self.environment, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL)

    def start_kernel(self, arguments: Sequence[str], folder: str, environment: Mapping[str, str], files: Sequence[int] = ()) -> Kernel:
        """Return a fresh kernel.

        Parameters
        ----------
        arguments : sequence of str
            As for ``ipykernel_launcher``.
        folder : str
            Where it works.
        environment : mapping of str to str
            All of it.
        files : sequence of int
            Open files that it keeps open.

        Raises
        ------
        OSError
            The server is gone, or can't copy itself.
        """
        request = {"arguments": list(arguments), "folder": folder, "environment": dict(environment), "files": len(files)}
        process = self.ask(request, files)
        if process is None:
            raise ChildProcessError("The server can't copy itself.")
        self.useful = True
        return Kernel(self, process)

    def ask(self, request: dict | int, files: Sequence[int] = ()) -> int | None:
        """Return the server's answer (`medlib.report.fork.serve`).

        Raises
        ------
        OSError
            It gives none.
        """
        with self._turn:
            try:
                self._channel.send(request)
                for file in files:
                    send_handle(self._channel, file, self.process.pid)
                if not self._channel.poll(PATIENCE):
                    raise TimeoutError("The server does not answer.")
                return self._channel.recv()
            except (EOFError, OSError) as error:
                self.stop()
                raise ConnectionError("The server is gone.") from error

    def stop(self) -> None:
        """End the server and its kernels."""
        self._channel.close()
        if self.owner == os.getpid():  # else we are a copy of the owner, who may go on with it
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
            self.process.kill()
            self.process.wait()


class Kernel:
    """A kernel's process, as far as jupyter_client needs it to be a `subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, server: Server, pid: int):
        self.pid, self.returncode, self._server = pid, None, server

    def poll(self) -> int | None:
        """Return how the process ended, or None."""
        if self.returncode is None:
            try:
                self.returncode = self._server.ask(self.pid)
            except OSError:  # a kernel without its server ends by itself, but maybe not at once
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
                self.returncode = -signal.SIGKILL
        return self.returncode

    def wait(self) -> int:
        """Return how the process ended, once it has."""
        while self.poll() is None:
            time.sleep(0.05)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if the process is there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask the process to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process."""
        self.send_signal(signal.SIGKILL)


_server: Server | None = None
_choice = threading.Lock()


def find_server(python: Sequence[str], environment: Mapping[str, str]) -> Server:
    """Return this process's server, started or, where it was started with another environment, replaced.

    Raises
    ------
    OSError
        None can be started, or it was of no use before.
    """
    global _server
    environment = {name: value for name, value in environment.items() if not name.startswith(IGNORED)}
    with _choice:
        if _server and (_server.owner, _server.python, _server.environment) == (os.getpid(), list(python), environment):
            if _server.process.poll() is None:
                return _server
            if not _server.useful:
                raise ChildProcessError("The server ended before its first kernel.")
        if _server:
            _server.stop()
        _server = Server(python, environment)
        return _server


def make_provisioner(manager: AsyncKernelManager) -> LocalProvisioner:
    """Return what starts a manager's kernel as a copy of the server, or as ever where that can't be."""
    from jupyter_client.provisioning import LocalProvisioner

    class Provisioner(LocalProvisioner):
        """Kernels from the server."""

        async def launch_kernel(self, cmd, **options):
            """Take over what `jupyter_client.launcher.launch_kernel` would give to the system."""
            try:
                module = cmd.index("-m")
                if not POSSIBLE or cmd[module + 1] != "ipykernel_launcher":
                    raise ValueError("not a kernel that can be copied")
                server = find_server(cmd[:module], options["env"])
                self.process = server.start_kernel(cmd[module + 2:], str(options.get("cwd") or os.getcwd()), options["env"],
                                                   options.get("pass_fds", ()))
            except (OSError, ValueError):
                return await super().launch_kernel(cmd, **options)
            self.pid = self.pgid = self.process.pid
            self.cwd = options.get("cwd") or os.getcwd()
            return self.connection_info

    return Provisioner(kernel_id=manager.kernel_id, kernel_spec=manager.kernel_spec, parent=manager)
