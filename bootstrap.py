"""Set medlib up, then run one of its commands: python bootstrap.py report|test|trust|lab|what-if|docs|bench|audit|setup [arguments]

Standard library only, in syntax that Python 3.8 reads, so that an old Python gets a sentence and no traceback.
"""
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
WINDOWS = os.name == "nt"
SCRIPTS, SUFFIX = VENV / ("Scripts" if WINDOWS else "bin"), ".exe" if WINDOWS else ""
PYTHON = SCRIPTS / ("python" + SUFFIX)
STAMP, LOG = VENV / "medlib.stamp", VENV / "install.log"
COMMANDS = ("report", "test", "trust", "lab", "what-if", "docs", "bench", "audit", "setup")
# Whatever a machine's own settings say, JupyterLab listens to this machine only. It makes up a token at each start; given here, it would
# be seen in the list of processes.
LAB = ("--ServerApp.ip=127.0.0.1", "--ServerApp.allow_remote_access=False", "--ServerApp.disable_check_xsrf=False")
OLDEST, TOO_NEW = (3, 11, 5), (3, 14)


def say(sentence):
    """Print to standard error: standard output belongs to the command that is run."""
    print(sentence, file=sys.stderr, flush=True)


def refuse(sentence):
    """Say in one sentence what is wrong and what to do, and stop with exit code 2."""
    say(sentence)
    sys.exit(2)


def is_suitable(version):
    """Return whether medlib runs on this Python version, a tuple such as (3, 11, 5)."""
    return OLDEST <= tuple(version[:3]) < TOO_NEW


def find_python():
    """Return the path of a suitable interpreter on PATH, or None."""
    names = ("python3.13", "python3.12", "python3.11", "python3", "python")
    found = [shutil.which(name, path=folder) for name in names for folder in os.get_exec_path()]
    commands = [[path] for path in dict.fromkeys(found) if path]
    commands += [["py", "-" + name[6:]] for name in names[:3]] if WINDOWS else []
    question = "import sys; print(*sys.version_info[:3]); print(getattr(sys, '_base_executable', sys.executable))"
    for command in commands:
        try:
            answer = subprocess.run([*command, "-c", question], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                    universal_newlines=True, timeout=60).stdout.splitlines()
        except (OSError, subprocess.TimeoutExpired):
            continue
        if len(answer) == 2 and is_suitable([int(part) for part in answer[0].split()]):
            return answer[1]
    return None


def fingerprint():
    """Return what .venv depends on: its Python and its place in line one, a hash of the pins in line two."""
    files = (ROOT / "requirements" / "constraints.txt", ROOT / "pyproject.toml")
    pins = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
    return "Python {}.{} in {}\n{}\n".format(*sys.version_info[:2], VENV, pins)


def environment():
    """Return the environment of the child processes."""
    path = str(SCRIPTS) + os.pathsep + os.environ.get("PATH", os.defpath)
    return dict(os.environ, PATH=path, PYTHONUTF8="1")


def find_links():
    """Return pip's own find-links setting as options for uv, which does not read it."""
    setting = subprocess.run([str(PYTHON), "-m", "pip", "config", "get", "global.find-links"], cwd=str(ROOT),
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True).stdout
    links = setting.split() + os.environ.get("PIP_FIND_LINKS", "").split()
    return [option for link in dict.fromkeys(links) for option in ("--find-links", link)]


def has_gpu():
    """Return whether this Linux machine seems to have an NVIDIA GPU."""
    return bool(shutil.which("nvidia-smi")) or Path("/proc/driver/nvidia").exists()


def make_venv():
    """Make an empty .venv, over whatever is there."""
    base = getattr(sys, "_base_executable", None) or sys.executable  # not a .venv that is about to be emptied
    made = subprocess.run([base, "-m", "venv", "--clear", str(VENV)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True)
    if made.returncode:
        reason = (made.stdout.strip().splitlines() or ["no reason given"])[-1]
        refuse("The folder .venv cannot be created ({}): make the medlib folder writable, remove .venv, and on "
               "Debian or Ubuntu install python3-venv, then run the command again.".format(reason))


def install():
    """Install what the pins say with uv, or with pip where uv fails, and return whether that worked."""
    python, links = str(PYTHON), find_links()
    what = ["-c", "requirements/constraints.txt", "-e", ".[audit,bench,datasets,docs,test]"]
    with LOG.open("w", encoding="utf-8") as log:
        def works(*command):
            return not subprocess.run([python, "-m", *command], cwd=str(ROOT), env=environment(),
                                      stdout=log, stderr=subprocess.STDOUT).returncode

        uv = ["uv", "pip", "install", "--python", python, *links, *what]
        small = sys.platform == "linux" and not links and not has_gpu()  # a CUDA build would be gigabytes for nothing
        return (works("pip", "install", "uv")
                and (small and works(*uv, "--torch-backend", "cpu") or works(*uv))) or works("pip", "install", *what)


def set_up():
    """Make .venv hold what the pins say; do nothing, and say nothing, where it already does."""
    wanted = fingerprint()
    found = STAMP.read_text(encoding="utf-8") if STAMP.is_file() and PYTHON.exists() else ""
    if found == wanted:
        return
    say("Setting medlib up in .venv: this takes a few minutes, once.")
    if found.split("\n")[0] != wanted.split("\n")[0]:  # killed half-way, another Python, or a moved folder
        make_venv()
    elif STAMP.exists():
        STAMP.unlink()  # a kill from here on must be seen by the next call
    if not install():
        if found:
            STAMP.write_text(found, encoding="utf-8")  # the packages from before are still there
        refuse("medlib could not be installed: connect this machine to the network, or set PIP_FIND_LINKS to a folder "
               "of wheels, and run the command again (details in {}).".format(LOG))
    STAMP.write_text(wanted, encoding="utf-8")


def run(command):
    """Run a child process to its end and return its exit code."""
    process = subprocess.Popen([str(part) for part in command], cwd=str(ROOT), env=environment())
    while True:
        try:
            code = process.wait()
            return code if code >= 0 else 128 - code
        except KeyboardInterrupt:
            pass  # the child has had the same Ctrl-C: JupyterLab asks back, pytest prints its summary


def run_command(name, arguments):
    """Run one of COMMANDS in .venv and return its exit code."""
    if name in ("report", "what-if"):
        return run([SCRIPTS / ("medlib" + SUFFIX), name, *arguments])
    if name == "docs":
        return run([PYTHON, ROOT / "docs" / "build.py", *arguments])
    if name == "test":
        return run([PYTHON, "-m", "pytest", *arguments])
    if name in ("trust", "audit"):
        return run([PYTHON, "-m", "trust" if name == "trust" else "trust.audit", *arguments])
    if name == "lab":
        return run([PYTHON, "-m", "jupyter", "lab", *LAB, "notebooks/00_start_here.ipynb", *arguments])
    benchmarks = sorted((ROOT / "benchmarks").glob("*.py")) if name == "bench" else []
    if name == "bench" and not benchmarks:
        say("There are no benchmarks yet: benchmarks/ holds no Python file.")
    return max([run([PYTHON, benchmark, *arguments]) for benchmark in benchmarks], default=0)


def main(arguments):
    """Set medlib up, run the command, and return its exit code."""
    if not arguments or arguments[0] not in COMMANDS:
        refuse("Say what to run: python bootstrap.py {} [arguments].".format("|".join(COMMANDS)))
    if not is_suitable(sys.version_info):
        python = find_python()
        if python is None:
            refuse("medlib needs Python 3.11.5 or newer, below 3.14, but found {}.{}.{}: install the newest Python "
                   "3.11, 3.12 or 3.13 and run the command again.".format(*sys.version_info[:3]))
        return run([python, ROOT / "bootstrap.py", *arguments])
    set_up()
    return run_command(arguments[0], arguments[1:])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
