"""Notebook tests: each kernel talks over files of its own, and exercises are run from their sources.

Of free network ports, two workers may be handed the same one.
"""

import os
import tempfile

from jupyter_client import KernelManager
from nbval import kernel

#: Learners' notebooks are unfinished; tests/test_course.py holds them to their sources, which run like any chapter.
collect_ignore_glob = ["notebooks/exercises/*_ex.ipynb"]


class LocalKernelManager(KernelManager):
    """A kernel manager whose sockets are files, where the system can."""

    def __init__(self, **options):
        super().__init__(**options)
        if os.name != "nt":
            self.sockets = tempfile.TemporaryDirectory(prefix="medlib-", ignore_cleanup_errors=True)
            self.transport, self.ip = "ipc", f"{self.sockets.name}/kernel"


kernel.KernelManager = LocalKernelManager
