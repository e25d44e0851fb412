"""Engines: the same bytes from each, workers that are killed, TLS, hosts apart, and what else goes through an engine."""

import datetime
import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from test_report import write_notebook
from test_tune import list_tried, look, make_demand

from medlib import tune
from medlib.errors import MedlibError
from medlib.forecast.trees import RandomForest
from medlib.report.pipeline import list_notebooks
from medlib.sweep import open_engine, run_sweep
from medlib.sweep.engines import Keys
from medlib.sweep.plan import plan_sweep
from medlib.sweep.task import execute_task

TARGET = "10_a"
TABLE = ("import time\nfrom pathlib import Path\nimport numpy as np\nimport pandas as pd\nfolder = Path('..', workspace)\n"
         "folder.mkdir(parents=True, exist_ok=True)\ndraws = np.random.default_rng(beds).normal(size=(300, 300))\n"
         "pd.DataFrame({'x': (draws @ draws.T).sum(axis=0)}).to_parquet(folder / 'x.parquet')")
posix = pytest.mark.skipif(os.name == "nt", reason="kills by signal")


@pytest.fixture
def project(tmp_path):
    """A notebook that writes a table of sums, whose last digits tell in which order they were added; it can kill its worker, once or always."""
    write_notebook(tmp_path / "notebooks", TARGET, TABLE, "time.sleep(pause)",
                   "if kills == 'always' or kills and not Path(kills).exists():\n    kills == 'always' or Path(kills).touch()\n"
                   "    import psutil\n    parent = psutil.Process().parent()  # of a warm kernel: the server that it is a copy of\n"
                   "    (parent.parent() if 'fork.py' in str(parent.cmdline()) else parent).kill()\n    time.sleep(60)", "print(beds)",
                   parameters='beds: int = 20  # staffed beds\nkills: str = ""  # file\npause: float = 0.0  # s\n', writes="`x`")
    return tmp_path


def plan(project, name, **given):
    return plan_sweep({"name": name, "notebooks": [TARGET]} | given, notebooks=list_notebooks(project / "notebooks"))


def read_rows(folder):
    return {row["run"]: row for row in json.loads((folder / "sweep.json").read_text())["runs"]}


def test_every_engine_leaves_the_same_bytes(project):
    left, workers = {}, {}
    for name in ("local", "joblib", "dask"):
        summary = run_sweep(plan(project, name, grid={"beds": [1, 2, 3]}), open_engine(name, 2), reports=project / "reports")
        assert (summary.done, summary.failed) == (3, 0)
        left[name] = {path.relative_to(summary.folder).as_posix(): path.read_bytes() for run in ("beds-1", "beds-2", "beds-3")
                      for path in (summary.folder / run).rglob("*") if path.is_file() and path.name != "run.json"}
        workers[name] = {row["worker"] for row in read_rows(summary.folder).values()}
    assert len(left["local"]) == 6 and left["local"] == left["joblib"] == left["dask"]
    assert workers["local"] == {""} and all(worker.startswith("tls://127.0.0.1") for worker in workers["dask"])
    assert not any(str(os.getpid()) in worker for worker in workers["joblib"])
    assert len({left["local"][f"beds-{beds}/tables/x.parquet"] for beds in (1, 2, 3)}) == 3


@posix
@pytest.mark.parametrize("name", ["joblib", "dask"])
def test_a_worker_that_is_killed_loses_nothing(project, name):
    sweep = plan(project, name, runs=[{"beds": 1, "kills": str(project / "killed")}, *({"beds": beds} for beds in (2, 3, 4))])
    summary = run_sweep(sweep, open_engine(name, 2), reports=project / "reports")
    assert (project / "killed").exists() and (summary.done, summary.failed) == (4, 0)
    assert all((summary.folder / run.name / "tables" / "x.parquet").is_file() for run in sweep.runs)


@posix
def test_a_run_that_kills_every_worker_is_given_up_and_the_others_are_done(project):
    sweep = plan(project, "bad", runs=[{"beds": 1, "kills": "always"}, {"beds": 2}])
    summary = run_sweep(sweep, open_engine("dask", 2, retries=0), retries=0, reports=project / "reports")
    rows = list(read_rows(summary.folder).values())
    assert "worker of this run died" in rows[0]["reason"] and rows[1]["status"] == "done" and (summary.done, summary.failed) == (1, 1)


def test_nothing_waits_behind_a_long_task_while_a_worker_is_idle():
    work = lambda seconds, shared, desk: (time.sleep(seconds), desk.worker)[1]  # noqa: E731  a named function would be looked for in this file
    with open_engine("dask", 2) as engine:
        shared = engine.share(b"data")
        for number, seconds in enumerate((4.0, *[0.05] * 6)):
            engine.submit(str(number), work, seconds, shared)
        assert len(engine._futures) == 2  # the others wait here, where they belong to nobody yet
        where = dict(engine.collect())
    assert len(where) == 7 and len(set(where.values())) == 2
    assert [number for number, worker in where.items() if worker == where["0"]] == ["0"]


# --- A scheduler of one's own ----------------------------------------------------------------------------------------

def make_certificates(folder):
    """An authority, a certificate that it signed, and one that it did not."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    now = datetime.datetime.now(datetime.UTC)

    def make(name, issuer=None, signer=None):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        made = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject).public_key(key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
                .not_valid_after(now + datetime.timedelta(hours=1)).add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
                .sign(signer or key, hashes.SHA256()))
        (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return subject, key

    subject, key = make("authority")
    make("own", subject, key)
    make("strange")


def start(*words, before=(), log):
    return subprocess.Popen([*before, sys.executable, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=log.name.rpartition("/")[0],
                            env={name: value for name, value in os.environ.items() if not name.startswith("DASK")})


def wait_for(happens, seconds=120):
    until = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def find_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and a worker that speak TLS; gives the address and the folder of certificates."""
    make_certificates(tmp_path)
    files = ["--tls-ca-file", str(tmp_path / "authority.pem"), "--tls-cert", str(tmp_path / "own.pem"), "--tls-key", str(tmp_path / "own.key")]
    address = f"tls://127.0.0.1:{(port := find_port())}"
    with (tmp_path / "log.txt").open("w") as log:
        processes = [start("-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--protocol", "tls", "--no-dashboard", *files, log=log)]
        try:
            wait_for(lambda: is_open(port))
            processes.append(start("-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", *files, log=log))
            yield address, tmp_path
        finally:
            for process in processes:
                process.kill()
                process.wait()


def test_tls_lets_in_who_has_a_certificate_of_the_authority_and_nobody_else(project, cluster, monkeypatch):
    address, folder = cluster
    own = Keys(*(str(folder / name) for name in ("authority.pem", "own.pem", "own.key")))
    sweep = plan(project, "safe", grid={"beds": [1, 2]})
    summary = run_sweep(sweep, open_engine("dask", address=address, keys=own), reports=project / "reports")
    assert (summary.done, summary.failed) == (2, 0)
    monkeypatch.setattr("medlib.sweep.engines.PATIENCE", 5)
    for entry, keys in ((address.replace("tls", "tcp"), Keys()),
                        (address, Keys(*(str(folder / name) for name in ("authority.pem", "strange.pem", "strange.key"))))):
        with pytest.raises(MedlibError, match="No Dask scheduler with a worker could be reached") as caught:
            run_sweep(plan(project, "unsafe", runs=[{"beds": 9}]), open_engine("dask", address=entry, keys=keys), reports=project / "reports")
        assert "\n" not in str(caught.value)
    with pytest.raises(MedlibError, match="TLS file .* is not there"):
        open_engine("dask", address=address, keys=Keys("a", "b", "c")).__enter__()
    monkeypatch.setattr("medlib.sweep.engines.describe_self", lambda: {"pandas": f"of process {os.getpid()}"})
    with pytest.raises(MedlibError, match=f"has pandas of process .*, this machine of process {os.getpid()}; install the same versions"):
        open_engine("dask", address=address, keys=own).__enter__()


def call(*words):
    return subprocess.run(words, capture_output=True, text=True).returncode == 0


@pytest.fixture
def hosts():
    """Four network namespaces on one bridge, as four machines on a switch: scheduler, two workers, client."""
    if not shutil.which("ip") or os.geteuid() != 0:
        pytest.skip("network namespaces need iproute2 and root")
    tag = f"m{os.getpid() % 100000}"
    names = [f"{tag}{letter}" for letter in "sabc"]
    try:
        if not all(call("ip", "netns", "add", name) for name in names):
            pytest.skip("network namespaces can't be made here")
        made = [call("ip", "-n", names[0], "link", "add", "br0", "type", "bridge"), call("ip", "-n", names[0], "addr", "add", "10.77.0.1/24", "dev", "br0"),
                call("ip", "-n", names[0], "link", "set", "br0", "up"), call("ip", "-n", names[0], "link", "set", "lo", "up")]
        for number, name in enumerate(names[1:], 2):
            made += [call("ip", "link", "add", f"{tag}v{number}", "netns", names[0], "type", "veth", "peer", "name", "eth0", "netns", name),
                     call("ip", "-n", names[0], "link", "set", f"{tag}v{number}", "master", "br0", "up"),
                     call("ip", "-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0"), call("ip", "-n", name, "link", "set", "eth0", "up"),
                     call("ip", "-n", name, "link", "set", "lo", "up")]
        if not all(made):
            pytest.skip("a bridge between network namespaces can't be made here")
        yield names
    finally:
        for name in names:
            call("ip", "netns", "del", name)


@posix
def test_hosts_apart_share_nothing_and_one_that_dies_loses_nothing(project, hosts):
    scheduler, first, second, client = ([shutil.which("ip"), "netns", "exec", name] for name in hosts)
    script = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_sweep_engines import plan
        from medlib.sweep import open_engine, run_sweep
        from medlib.sweep.progress import watch
        project = Path({str(project)!r})
        sweep = plan(project, "apart", common={{"pause": 2.0}}, grid={{"beds": [1, 2, 3, 4, 5, 6]}})
        print(run_sweep(sweep, open_engine("dask", address="tcp://10.77.0.1:8786"), reports=project / "reports", watch=watch))
        """)
    processes = []
    with (project / "log.txt").open("w") as log, (project / "client.txt").open("w") as told:
        try:
            processes.append(start("-m", "distributed.cli.dask_scheduler", "--host", "10.77.0.1", "--port", "8786", "--no-dashboard", before=scheduler, log=log))
            for host, number in ((first, 2), (second, 3)):
                processes.append(start("-m", "distributed.cli.dask_worker", "tcp://10.77.0.1:8786", "--nthreads", "1", "--no-nanny", "--no-dashboard",
                                       "--host", f"10.77.0.{number}", "--local-directory", str(project / f"host{number}"), before=host, log=log))
            wait_for(lambda: (project / "log.txt").read_text().count("Registered to") >= 2)
            asked = start("-c", script, before=client, log=told)
            processes.append(asked)
            wait_for(lambda: "on tcp://10.77.0.2" in (project / "client.txt").read_text())
            processes[1].kill()
            assert asked.wait(180) == 0, (project / "client.txt").read_text()
        finally:
            for process in processes:
                process.kill()
                process.wait()
    assert "done=6, kept=0, failed=0" in (project / "client.txt").read_text()
    rows = read_rows(project / "reports" / "apart")
    assert len(rows) == 6 and "tcp://10.77.0.3" in {row["worker"].rpartition(":")[0] for row in rows.values()}
    assert sum(row["worker"].startswith("tcp://10.77.0.2") for row in rows.values()) < 6


# --- What else goes through an engine --------------------------------------------------------------------------------

def test_a_search_finds_the_same_on_every_engine_and_one_at_a_time_what_it_finds_without(tmp_path):
    without = list_tried(look(make_demand(), tmp_path / "without.sqlite", 8))
    with open_engine("joblib", 2) as pool, open_engine("local") as local:
        alone = look(make_demand(), tmp_path / "alone.sqlite", 8, engine=local)
        together = [look(make_demand(), tmp_path / f"{number}.sqlite", 8, engine=engine, at_a_time=3) for number, engine in enumerate((pool, local))]
    assert list_tried(alone) == without
    assert list_tried(together[0]) == list_tried(together[1]) and len(list_tried(together[0])) == 8
    assert [trial.intermediate_values for trial in together[0].get_trials()] == [trial.intermediate_values for trial in together[1].get_trials()]
    with pytest.raises(MedlibError, match="at_a_time must be at least 1"):
        look(make_demand(), tmp_path / "none.sqlite", 1, at_a_time=0)


def test_a_search_stopped_among_trials_drawn_together_ends_where_it_would_have(tmp_path, monkeypatch):
    with open_engine("local") as engine:
        whole = list_tried(look(make_demand(), tmp_path / "whole.sqlite", 8, engine=engine, at_a_time=4))
        told = tune._tell

        def stop(study, trial, losses, naive):
            if trial.number == 5:  # the second of the second four
                raise KeyboardInterrupt
            told(study, trial, losses, naive)

        monkeypatch.setattr(tune, "_tell", stop)
        with pytest.raises(KeyboardInterrupt):
            look(make_demand(), tmp_path / "stopped.sqlite", 8, engine=engine, at_a_time=4)
        monkeypatch.setattr(tune, "_tell", told)
        assert list_tried(look(make_demand(), tmp_path / "stopped.sqlite", 8, engine=engine, at_a_time=4)) == whole


@pytest.mark.parametrize(("name", "backend"), [("joblib", "Loky"), ("dask", "Dask")])
def test_a_large_forest_grows_on_an_engine_s_workers_as_it_would_here(name, backend):
    demand = make_demand()
    last = demand["date"].max() - pd.Timedelta(days=4)
    known = demand[demand["date"] <= last]
    here = RandomForest(4, trees=6, rows=500).fit(known).predict(last, 4)
    with open_engine(name, 2) as engine, engine.share_trees():
        assert type(joblib.parallel.get_active_backend()[0]).__name__.startswith(backend)
        there = RandomForest(4, trees=6, rows=500).fit(known).predict(last, 4)
    assert np.array_equal(here["demand"], there["demand"])


# --- The whole chain -------------------------------------------------------------------------------------------------

def test_reports_of_two_small_regions(tmp_path):
    sweep = plan_sweep({"name": "regions", "common": {"horizon": 7, "trees": 5, "origins": 2}, "grid": {"region": ["N4,N5", "Nowhere"]}})
    summary = run_sweep(sweep, open_engine("joblib", 2), reports=tmp_path)
    assert (summary.done, summary.failed) == (1, 1)
    rows = read_rows(summary.folder)
    assert "the regions are East, North, South, West." in rows["Nowhere"]["reason"]
    folder = summary.folder / "N4-N5"
    assert pd.read_parquet(folder / "tables" / "sites.parquet")["site"].tolist() == ["N4", "N5"]
    assert set(pd.read_parquet(folder / "tables" / "demand_forecast.parquet")["site"]) == {"N4", "N5"}
    page = (folder / "report.html").read_text()
    assert "Only 2 of 20 sites are used here: N4,N5." in page and str(tmp_path) not in page
    comparison = pd.read_csv(summary.folder / "comparison.csv").set_index("run").loc["N4-N5"]
    ladder = json.loads((folder / "run.json").read_text())["ladder"]
    assert comparison["shortage_stochastic"] == ladder["stochastic"]["shortage"] >= comparison["shortage_perfect"] - 1e-6
    assert execute_task.__module__ == "medlib.sweep.task"
