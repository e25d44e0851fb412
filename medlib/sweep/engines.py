"""Where tasks are carried out: in this process (`local`), in processes of this machine (`joblib`), or on a Dask cluster (`dask`).

All engines take work and give back results in the same way, so nothing else knows which one it is. A task that a dying worker took with it
comes back as `Lost`; whether it is tried again is for whoever gave it to decide.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from medlib.errors import MedlibError
from medlib.report.files import write_whole
from medlib.sweep.task import THREADS, Desk, compare_versions, describe_self

ENGINES = ("local", "joblib", "dask")
#: Seconds between two looks at what workers say.
PAUSE = 0.2
#: Seconds that a scheduler is given to answer, and its first worker to appear.
PATIENCE = 30


class Lost(Exception):
    """The worker of a task died before the task was done."""


class Engine:
    """What all engines have in common; this one works in the process itself, one task after another.

    Used as a context manager. `listen` takes what workers tell, a dict at a time; it may be called from another thread.
    """

    name = "local"

    def __init__(self, workers: int = 1):
        self.workers, self.listen = workers, lambda event: None
        self._queue: deque = deque()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.clear()

    def share(self, value: object) -> object:
        """Return something that stands for a large value among a task's arguments, so that it travels once."""
        return value

    def submit(self, key: str, function: Callable, *arguments: object) -> None:
        """Give a task: ``function(*arguments, desk)`` will be called with a `Desk`. A key may be given again once its result is there."""
        self._queue.append((key, function, arguments))

    def collect(self) -> Iterator[tuple[str, object]]:
        """Give (key, result) of each task as they come, till none is left; what a task raised, or `Lost`, in place of its result."""
        while self._queue:
            key, function, arguments = self._queue.popleft()
            yield key, _catch(function, *arguments, Desk("", self.listen))

    def share_trees(self) -> AbstractContextManager:
        """While it lasts, forests of scikit-learn that are fitted with ``n_jobs`` above 1 or -1 grow their trees on this engine's workers."""
        return nullcontext()


def _catch(function: Callable, *arguments: object) -> object:
    try:
        return function(*arguments)
    except Exception as error:
        return error


# --- Processes of this machine ---------------------------------------------------------------------------------------

class JoblibEngine(Engine):
    """Worker processes of joblib's (loky); what they tell goes through small files, one a task."""

    name = "joblib"

    def __enter__(self) -> JoblibEngine:
        self._place = tempfile.TemporaryDirectory(prefix="medlib-sweep-", ignore_cleanup_errors=True)
        self._tasks, self._told, self._pool, self._given = {}, {}, None, 0
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)
        self._place.cleanup()

    def submit(self, key: str, function: Callable, *arguments: object) -> None:
        """As `Engine.submit`."""
        if self._pool is None:
            from joblib.externals.loky import ProcessPoolExecutor
            self._pool = ProcessPoolExecutor(self.workers, env=THREADS)
        self._given += 1
        note = Path(self._place.name) / f"{self._given}.json"
        self._tasks[self._pool.submit(_work_here, note, self._place.name, function, arguments)] = key, function, arguments, note

    def collect(self) -> Iterator[tuple[str, object]]:
        """As `Engine.collect`."""
        from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
        while self._tasks:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "A worker stopped")  # one that grew too large and is replaced: no loss
                done, _ = wait(self._tasks, PAUSE, FIRST_COMPLETED)
            self._relay()
            if any(isinstance(future.exception(), BrokenExecutor) for future in done):
                wait(self._tasks)  # with one worker, all that was given is sent back
                done, self._pool = list(self._tasks), None
            for future in done:
                key, function, arguments, note = self._tasks.pop(future)
                error = future.exception()
                if not isinstance(error, BrokenExecutor):
                    yield key, error or future.result()
                elif note.exists():
                    yield key, Lost()
                else:
                    self.submit(key, function, *arguments)  # it had not been begun

    def _relay(self) -> None:
        for _, _, _, note in self._tasks.values():
            with suppress(OSError, ValueError):
                event = json.loads(note.read_text(encoding="utf-8"))
                if event and self._told.get(note) != event:
                    self._told[note] = event
                    self.listen(event)

    @contextmanager
    def share_trees(self) -> Iterator[None]:
        """As `Engine.share_trees`."""
        import joblib
        with joblib.parallel_config("loky", n_jobs=self.workers):
            yield


def _work_here(note: Path, folder: str, function: Callable, arguments: tuple) -> object:
    write_whole(note, "{}")
    return function(*arguments, Desk(f"process {os.getpid()}", lambda event: write_whole(note, json.dumps(event)), folder))


# --- A Dask cluster --------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Keys:
    """Files of TLS: the certificate of the authority, and this side's certificate and key."""

    authority: str = ""
    certificate: str = ""
    key: str = ""


class DaskEngine(Engine):
    """Workers of a Dask cluster: of one made for the occasion on this machine, or of the scheduler at an address.

    Parameters
    ----------
    workers : int
        Of a cluster of our own.
    address : str
        Of a scheduler, such as ``tls://10.0.0.1:8786``; empty: a cluster of our own, whose connections are encrypted, so that nobody
        else on the machine can give it work.
    keys : Keys
        For a scheduler that speaks TLS.
    retries : int
        How many workers may die of a task in a cluster of our own before it is given up.
    """

    name = "dask"

    def __init__(self, workers: int = 2, address: str = "", keys: Keys = Keys(), retries: int = 2):
        super().__init__(workers)
        self.address, self.keys, self.retries = address, keys, retries

    def __enter__(self) -> DaskEngine:
        with ExitStack() as stack:
            self._enter(stack)
            self._stack = stack.pop_all()
        return self

    def _enter(self, stack: ExitStack) -> None:
        import dask
        from distributed import Client, LocalCluster, as_completed
        from distributed.security import Security
        for name in ("distributed", "tornado.application"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is told by results; a lost worker is one
        if self.address:
            security = _read_keys(self.keys)
            try:
                client = stack.enter_context(Client(self.address, security=security, timeout=PATIENCE, set_as_default=False))
                client.wait_for_workers(1, timeout=PATIENCE)
            except (OSError, ValueError) as error:  # time-outs are OSErrors
                raise MedlibError(f"No Dask scheduler with a worker could be reached at {self.address} within {PATIENCE} s "
                                  f"({_shorten(error)}); check the address, that a worker has joined, and the TLS files.") from None
        else:
            stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": self.retries}))
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="medlib-sweep-", ignore_cleanup_errors=True))
            security = Security.temporary()
            cluster = stack.enter_context(LocalCluster(
                self.workers, threads_per_worker=1, processes=True, host="127.0.0.1", security=security, dashboard_address=None,
                memory_limit=0, local_directory=place, silence_logs=logging.CRITICAL, env=THREADS))
            client = stack.enter_context(Client(cluster, security=security, set_as_default=False))
        self.client, self._futures, self._places, self._completed = client, {}, {}, as_completed(loop=client.loop)
        self._check_workers()
        self._topic = f"medlib-{uuid.uuid4().hex}"
        client.subscribe_topic(self._topic, lambda event: self.listen(event[1]))

    def _check_workers(self) -> None:
        """Refuse workers with other versions, or with several threads, in which notebooks would get in each other's way."""
        threads = self.client.nthreads()
        if several := [worker for worker, count in threads.items() if count > 1]:
            raise MedlibError(f"Worker {several[0]} has {threads[several[0]]} threads; start workers with --nthreads 1, as many as may run at a time.")
        here = describe_self()
        for worker, there in self.client.run(describe_self, on_error="return").items():
            if not isinstance(there, dict):
                raise MedlibError(f"Worker {worker} can't use medlib ({_shorten(there)}); install the same medlib there and start the worker again.")
            compare_versions(there, here, worker)
        self.workers = len(threads)

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        for future in self._futures:
            future.cancel(force=True)
        self._stack.close()

    def share(self, value: object) -> object:
        """As `Engine.share`; a copy that dies with its worker is made again."""
        return self.client.submit(_hold, value, key=f"medlib-shared-{uuid.uuid4().hex}", retries=10)

    def submit(self, key: str, function: Callable, *arguments: object) -> None:
        """As `Engine.submit`."""
        self._queue.append((key, function, arguments))
        self._feed()

    def _feed(self) -> None:
        """Give each idle worker one task. Left to itself, the scheduler guesses how long tasks take, and lets some wait beside idle workers."""
        idle = [worker for worker in self.client.nthreads() if worker not in self._places.values()]
        while self._queue and (idle or not self._futures):
            key, function, arguments = self._queue.popleft()
            place = idle.pop() if idle else None
            future = self.client.submit(_work_there, self._topic, function, *arguments, key=f"{key}-{uuid.uuid4().hex}", pure=False,
                                        workers=place and [place], allow_other_workers=bool(place))
            self._futures[future], self._places[future] = key, place
            self._completed.add(future)

    def collect(self) -> Iterator[tuple[str, object]]:
        """As `Engine.collect`."""
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError
        while self._futures:
            future = next(self._completed)
            try:
                result = future.result()
            except KilledWorker:
                result = Lost()
            except FutureCancelledError:
                if self.client.status != "running":
                    raise MedlibError("The Dask scheduler is gone; start it again and repeat the command, which goes on where it was.") from None
                result = Lost()
            except Exception as error:
                result = error
            key = self._futures.pop(future)
            del self._places[future]
            future.release()
            self._feed()
            yield key, result

    @contextmanager
    def share_trees(self) -> Iterator[None]:
        """As `Engine.share_trees`."""
        import joblib
        with joblib.parallel_config("dask", client=self.client):
            yield


def _read_keys(keys: Keys):
    """Return Dask's security, or None where nothing is encrypted."""
    from distributed.security import Security
    if not keys.authority:
        return None
    if missing := [path for path in (keys.authority, keys.certificate, keys.key) if not Path(path).is_file()]:
        raise MedlibError(f"The TLS file {missing[0]} is not there; name the files of the authority, the certificate and the key.")
    return Security(tls_ca_file=keys.authority, tls_client_cert=keys.certificate, tls_client_key=keys.key, require_encryption=True)


def _shorten(error: object) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else f"{text[:120]}…"


def _hold(value: object) -> object:
    return value


def _work_there(topic: str, function: Callable, *arguments: object) -> object:
    from distributed import get_worker
    worker = get_worker()
    return function(*arguments, Desk(worker.address, partial(worker.log_event, topic), worker.local_directory))


def open_engine(name: str, workers: int = 2, *, address: str = "", keys: Keys = Keys(), retries: int = 2) -> Engine:
    """Return an engine by name, to be entered by ``with``.

    Parameters
    ----------
    name : str
        Of `ENGINES`.
    workers : int
        How many tasks at a time; `local` takes one, and a scheduler's workers are those it has.
    address, keys, retries
        As in `DaskEngine`.

    Raises
    ------
    MedlibError
        There is no such engine, or something is asked of it that it does not have.
    """
    if name not in ENGINES:
        raise MedlibError(f"engine must be one of {', '.join(ENGINES)}; got {name!r}.")
    if workers < 1:
        raise MedlibError(f"An engine needs at least 1 worker; got {workers}.")
    if retries < 0:
        raise MedlibError(f"retries must be 0 or more; got {retries}.")
    if address and name != "dask":
        raise MedlibError(f"A scheduler belongs to the engine dask; got {name!r}.")
    given = [bool(path) for path in (keys.authority, keys.certificate, keys.key)]
    if any(given) and not (all(given) and address):
        raise MedlibError("TLS needs three files (authority, certificate, key) and a scheduler's address; some of them are missing.")
    if address.startswith("tls://") and not all(given):
        raise MedlibError(f"The scheduler {address} speaks TLS; name the files of the authority, the certificate and the key.")
    if name == "dask":
        return DaskEngine(workers, address, keys, retries)
    return JoblibEngine(workers) if name == "joblib" else Engine()
