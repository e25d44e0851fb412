"""A process that has imported what notebooks use, and turns copies of itself into kernels; `medlib.report.warm` starts it and asks it.

It runs on the standard library alone, as a script: a kernel must import medlib itself, which reads its folders from the environment then.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import os
import signal
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from types import SimpleNamespace

#: What notebooks of a report import, but not what looks for a notebook or takes hold of standard error while it is imported (tqdm, optuna).
PACKAGES = ("ipykernel.kernelapp", "ipykernel.ipkernel", "numpy", "pandas", "pyarrow.parquet", "matplotlib.pyplot", "scipy.stats", "scipy.optimize",
            "sklearn.ensemble", "sklearn.inspection", "sklearn.linear_model", "sklearn.pipeline", "sklearn.preprocessing", "pandera.pandas", "pulp",
            "highspy")
#: As ipykernel sets it before a notebook imports matplotlib.
BACKEND = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
#: pyarrow's second allocator starts a thread otherwise, and a process with threads can't be copied safely.
ALONE = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
#: Seconds without a kernel after which the server ends, to give back its memory.
IDLE = 600.0


def import_packages(packages: tuple[str, ...] = PACKAGES) -> None:
    """Import what there is of the packages, in an environment as a kernel's."""
    # ipykernel reads whom to watch when it is imported: a kernel's parent is this process, not the one that asked for it.
    os.environ["JPY_PARENT_PID"] = str(os.getpid())
    for name, value in (BACKEND | ALONE).items():
        os.environ.setdefault(name, value)
    # pandas settles how many columns it shows, and in which encoding, by what it is imported in.
    builtins.get_ipython, encoding = lambda: SimpleNamespace(kernel=None), sys.stdout.encoding
    sys.stdout.reconfigure(encoding="UTF-8")
    for package in packages:
        with suppress(ImportError):
            importlib.import_module(package)
    sys.stdout.reconfigure(encoding=encoding)
    del builtins.get_ipython
    gc.collect()
    gc.freeze()  # so that a kernel's collector leaves the pages alone that it shares with us


def serve(channel: Connection) -> dict | None:
    """Answer requests till the owner is gone or wants nothing for long; return in each copy what is asked of it, and None in the server.

    A request for a kernel is a dict of arguments, folder, environment and count of files, which follow; its answer is the kernel's process,
    or None. A number asks how that process ended; the answer is None while it runs.
    """
    owner, kernels, busy = os.getppid(), set(), time.monotonic()
    while os.getppid() == owner and (kernels or time.monotonic() - busy < IDLE):
        try:
            if not channel.poll(1.0):
                continue
            request, busy = channel.recv(), time.monotonic()
            if isinstance(request, int):
                ended, status = os.waitpid(request, os.WNOHANG)
                kernels.discard(ended)
                channel.send(os.waitstatus_to_exitcode(status) if ended else None)
                continue
            kernel = _copy_self(channel, request["files"])
            if kernel == 0:
                return request
            kernels |= {kernel} - {None}
            channel.send(kernel)
        except (EOFError, ConnectionError):
            break
    for kernel in kernels:
        with suppress(ProcessLookupError):
            os.killpg(kernel, signal.SIGKILL)
    return None


def _copy_self(channel: Connection, files: int) -> int | None:
    """Fork; the copy, where 0 is returned, keeps the files that come through the channel, and leads its own group of processes."""
    given = [recv_handle(channel) for _ in range(files)]
    try:
        kernel = os.fork() if len(os.listdir("/proc/self/task")) == 1 else None
    except OSError:  # no memory, or too many processes
        kernel = None
    if kernel == 0:
        os.setpgid(0, 0)
        channel.close()
        return 0
    for file in given:
        os.close(file)
    if kernel:
        with suppress(OSError):  # whoever comes first: the group must be there before the owner sends it a signal
            os.setpgid(kernel, kernel)
    return kernel


def become_kernel(request: dict) -> None:
    """Do as ``python -m ipykernel_launcher`` in the folder and environment of a request."""
    os.chdir(request["folder"])
    server = os.environ["JPY_PARENT_PID"]
    os.environ.clear()
    os.environ.update(request["environment"] | {"JPY_PARENT_PID": server})
    sys.argv = [importlib.util.find_spec("ipykernel_launcher").origin, *request["arguments"]]
    # Python's own generator is seeded anew in a copy, NumPy's is not.
    with suppress(ImportError):
        importlib.import_module("numpy").random.seed()
    importlib.import_module("ipykernel.kernelapp").launch_new_instance()


if __name__ == "__main__":
    if sys.path[0] == "":  # as ipykernel_launcher does
        del sys.path[0]
    import_packages()
    asked = serve(Connection(int(sys.argv[2])))
    if asked:
        become_kernel(asked)
