"""Kernels that are copies of a server: what they give is what fresh ones give, they end as those do, and nothing outlives its owner."""

import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
from test_faults import is_running, wait_for
from test_report import write_notebook

from medlib.report import fork, warm
from medlib.report.kernel import execute_notebook
from medlib.report.lock import lock_run
from medlib.report.pipeline import read_notebook
from medlib.sweep.plan import plan_sweep
from medlib.sweep.task import THREADS, Desk, execute_task

pytestmark = pytest.mark.skipif(not warm.POSSIBLE, reason="kernels are copied on Linux only")


@pytest.fixture
def kernels(monkeypatch):
    """The warm kernels that start."""
    started, start = [], warm.Server.start_kernel
    monkeypatch.setattr(warm.Server, "start_kernel", lambda *given: started.append(start(*given)) or started[-1])
    return started


def execute(home, *cells, limit=600.0, lock=None, environment=None):
    """Execute cells in a warm kernel; gives what went wrong, and what was printed."""
    path = write_notebook(home / "notebooks", "10_a", *cells)
    error = execute_notebook(read_notebook(path), home / "run", {}, lambda done, of: None, limit, lock, home=home,
                             environment=THREADS | (environment or {}), warm=True)
    stored = nbformat.read(home / "run" / "notebooks" / "10_a.ipynb", 4)
    return error, [output.text for cell in stored.cells for output in cell.get("outputs", []) if output.output_type == "stream"]


@pytest.fixture
def home(tmp_path):
    (tmp_path / "run" / "notebooks").mkdir(parents=True)
    return tmp_path


# --- The same as fresh kernels ---------------------------------------------------------------------------------------

def test_tables_notebooks_and_figures_are_the_same_to_the_byte(kernels, monkeypatch):
    archives = []
    for possible in (True, False):
        monkeypatch.setattr(warm, "POSSIBLE", possible)
        sweep = plan_sweep({"name": "try", "notebooks": ["02_prepare"], "runs": [{}]})
        outcome = execute_task(sweep.runs[0].task, sweep.files["sample"], Desk("", lambda event: None))
        assert outcome.manifest["status"] == "done", outcome.manifest["error"]
        with tarfile.open(fileobj=io.BytesIO(outcome.archive)) as archive:
            archives.append({member.name: archive.extractfile(member).read() for member in archive})
        archives[-1].pop("run.json")
    assert archives[0] == archives[1]
    assert len(kernels) == 2 and {"notebooks/02_prepare.ipynb", "tables/demand.parquet"} <= set(archives[0])
    assert b"image/png" in archives[0]["notebooks/02_prepare.ipynb"]


SETTINGS = """import os, signal, sys, warnings
for name in sorted(os.environ):
    print(name, os.environ[name] if name != 'JPY_PARENT_PID' else os.environ[name] == str(os.getppid()))
print(os.getcwd(), sys.argv[:2], sys.argv[3:], sys.path, sys.flags, sys.executable, os.getpgrp() == os.getpid())
print(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), __name__, [name for name in sys.modules if name.startswith('medlib')])
from multiprocessing import active_children, current_process
print(active_children(), current_process().daemon, get_ipython().__class__)
import logging, matplotlib, numpy, pandas, sklearn.preprocessing, scipy.stats
from pandas._config.config import _registered_options
print({name: repr(pandas.get_option(name)) for name in sorted(_registered_options) if name not in pandas._config.config._deprecated_options})
print(numpy.get_printoptions(), logging.root.handlers, sorted(map(str, set(warnings.filters))))
print(matplotlib.get_backend(), {name: value for name, value in matplotlib.rcParams.items()}, matplotlib.is_interactive())
import medlib.tables
print(medlib.tables.PROJECT)"""


def test_a_notebook_sees_the_same_settings_environment_and_folder(home, kernels, monkeypatch):
    seen = []
    for possible in (True, False):
        monkeypatch.setattr(warm, "POSSIBLE", possible)
        error, printed = execute(home, SETTINGS, environment={"MEDLIB_SECRET_WORD": "hush", "LC_ALL": "C.UTF-8"})
        assert error is None
        seen.append("".join(printed).splitlines())
    assert seen[0] == seen[1]
    assert len(kernels) == 1 and "MEDLIB_SECRET_WORD hush" in seen[0] and f"MEDLIB_HOME {home}" in seen[0] and seen[0][-1] == str(home)
    assert b"MEDLIB_" not in Path(f"/proc/{warm._server.process.pid}/environ").read_bytes(), "secrets stay where they are needed"


def test_the_packages_are_there_and_medlib_is_not(home):
    """Nor what holds on to standard error or looks for a notebook while it is imported, nor a thread, which a copy would lack."""
    _, printed = execute(home, f"import os, sys\nprint(len(set(sys.modules) & set({[*fork.PACKAGES]})), len(os.listdir('/proc/%s/task' % os.getppid())))\n"
                               "print([name for name in ('medlib', 'tqdm', 'optuna', 'torch', 'matplotlib_inline.backend_inline') if name in sys.modules])")
    assert printed == [f"{len(fork.PACKAGES)} 1\n[]\n"]


def test_random_numbers_are_shared_by_no_two_kernels_and_seeds_mean_the_same(home, kernels):
    cell = ("import random, numpy\nprint(random.random(), numpy.random.random())\nrandom.seed(7)\nnumpy.random.seed(7)\n"
            "print(random.random(), numpy.random.random(), numpy.random.default_rng(7).random())")
    first, second = (execute(home, cell)[1][0].splitlines() for _ in range(2))
    assert not set(first[0].split()) & set(second[0].split())
    random.seed(7)
    assert first[1] == second[1] == f"{random.random()} {np.random.RandomState(7).random()} {np.random.default_rng(7).random()}"
    assert len(kernels) == 2


# --- Ends ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("cell", ["os.kill(os.getpid(), signal.SIGKILL)", "os._exit(3)", "os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(600)"])
def test_a_kernel_that_dies_with_or_without_its_server_is_told_as_died(home, kernels, cell):
    error, _ = execute(home, f"import os, signal, time\n{cell}")
    assert error["died"] and "the kernel died" in error["reason"]
    assert len(kernels) == 1 and not is_running(kernels[0].pid)
    assert execute(home, "print('next')") == (None, ["next\n"]) and len(kernels) == 2


def test_how_a_kernel_ended_is_known(home):
    environment = dict(os.environ) | THREADS
    server = warm.find_server([sys.executable], environment)
    kernel = server.start_kernel(["--no-such-option"], str(home), environment)
    assert kernel.wait() == kernel.poll() > 0
    kernel = server.start_kernel(["-f", str(home / "connection.json")], str(home), environment)
    wait_for((home / "connection.json").is_file)
    assert kernel.poll() is None
    kernel.kill()
    assert kernel.wait() == -signal.SIGKILL


def test_the_time_limit_ends_a_kernel(home, kernels):
    error, _ = execute(home, "import time\ntime.sleep(600)", limit=3.0)
    assert "time limit" in error["reason"] and not error.get("died") and not is_running(kernels[0].pid)


def test_the_kernel_holds_the_lock_and_the_server_does_not(home, kernels):
    with lock_run(home / "locks" / "mine") as lock:
        _, printed = execute(home, "import os\nfrom pathlib import Path\n"
                                   "held = [[str(link.resolve()) for link in Path(f'/proc/{process}/fd').iterdir()] for process in ('self', os.getppid())]\n"
                                   f"print(os.getpid(), *({str(home / 'locks' / 'mine')!r} in files for files in held))", lock=lock)
        assert printed == [f"{kernels[0].pid} True False\n"]
        assert json.loads((home / "locks" / "mine").read_text()) == {"medlib": os.getpid(), "kernel": kernels[0].pid}


OWNER = """
import os, sys, time
from pathlib import Path
from medlib.report.kernel import execute_notebook
from medlib.report.pipeline import read_notebook
home = Path(sys.argv[1])
def fork(done, of):
    if done == 1 and of > 1 and sys.argv[2] == "copied" and not os.fork():
        Path(home, "copy.txt").write_text(str(os.getpid()))
        time.sleep(600)
execute_notebook(read_notebook(home / "notebooks" / "10_a.ipynb"), home / "run", {}, fork, home=home, warm=True)
"""


@pytest.mark.parametrize("kind", ["alone", "copied"])
def test_nothing_is_left_running_when_the_owner_is_killed(home, kind):
    """Not a kernel that does not look for its parent; nor where a copy of the owner keeps the way to the server open."""
    note = home / "note.txt"
    write_notebook(home / "notebooks", "10_a", "import os, subprocess, time\nfrom pathlib import Path\nos._exit = lambda code: None\n"
                   f"sleeper = subprocess.Popen(['sleep', '600'])\npart = Path({str(note)!r} + '.part')\n"
                   f"part.write_text(f'{{os.getpid()}} {{os.getppid()}} {{sleeper.pid}}')\npart.rename({str(note)!r})\ntime.sleep(600)")
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(home), kind], env=os.environ | THREADS, stdout=subprocess.DEVNULL)
    try:
        wait_for(note.is_file)
        processes = [int(word) for word in note.read_text().split()]
        assert all(map(is_running, processes)) and owner.poll() is None
        copy = int((home / "copy.txt").read_text()) if kind == "copied" else None
    finally:
        owner.kill()
        owner.wait()
    try:
        wait_for(lambda: not any(map(is_running, processes)))
    finally:
        if copy:
            os.kill(copy, signal.SIGKILL)


# --- Where there can be none -----------------------------------------------------------------------------------------

def test_without_a_server_kernels_start_as_ever_and_none_is_tried_twice(home, kernels, monkeypatch, tmp_path):
    monkeypatch.setattr(fork, "__file__", str(tmp_path / "missing.py"))
    monkeypatch.setenv("ANOTHER_ENVIRONMENT", "1")
    popen, servers = subprocess.Popen, []
    monkeypatch.setattr(warm.subprocess, "Popen",
                        lambda command, **more: (servers.append(command) if "missing.py" in str(command) else None) or popen(command, **more))
    for _ in range(2):
        assert execute(home, "print('cold')") == (None, ["cold\n"])
    assert len(servers) == 1 and not kernels


def test_a_server_of_another_environment_is_replaced_and_one_of_no_use_ends(monkeypatch):
    environment = dict(os.environ) | THREADS
    first = warm.find_server([sys.executable], environment)
    assert warm.find_server([sys.executable], environment | {"MEDLIB_HOME": "/elsewhere"}) is first
    second = warm.find_server([sys.executable], environment | {"TZ": "Asia/Tokyo"})
    assert second is not first and first.process.poll() is not None
    ours, theirs = warm.Pipe()
    monkeypatch.setattr(fork, "IDLE", 0.0)
    began = time.monotonic()
    assert fork.serve(theirs) is None and time.monotonic() - began < 60
    ours.close()
