"""The installation layer: pins, environment.yml and bootstrap.py agree, and bootstrap.py says what is wrong."""
import functools
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
PLATFORMS = {
    "linux": {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux"},
    "darwin": {"sys_platform": "darwin", "os_name": "posix", "platform_system": "Darwin"},
    "win32": {"sys_platform": "win32", "os_name": "nt", "platform_system": "Windows"},
}


def read_pins():
    """Return the lines of constraints.txt that aren't comments."""
    lines = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


@functools.cache
def parse_pins():
    """Return the pins as requirements, by canonical name; a package may have several, one a marker."""
    pins = {}
    for requirement in map(Requirement, read_pins()):
        pins.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return pins


def versions_pinned(name, python, platform):
    """Return every version to which one package is pinned on one Python and platform."""
    environment = {"python_version": python, "python_full_version": f"{python}.9",
                   "implementation_name": "cpython", **PLATFORMS[platform]}
    pins = parse_pins().get(canonicalize_name(name), [])
    return [str(pin.specifier).removeprefix("==") for pin in pins
            if pin.marker is None or pin.marker.evaluate(environment)]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_every_direct_dependency_has_one_fitting_pin(python, platform):
    wrong = {}
    for requirement in map(Requirement, DIRECT):
        versions = versions_pinned(requirement.name, python, platform)
        if len(versions) != 1 or not requirement.specifier.contains(versions[0]):
            wrong[str(requirement)] = versions
    assert not wrong


def test_pulp_is_the_last_3_on_python_3_11_and_a_4_above():
    majors = [versions_pinned("pulp", python, "linux")[0].split(".")[0] for python in ("3.11", "3.12", "3.13")]
    assert majors == ["3", "4", "4"]


def test_pins_are_names_and_versions_only():
    pin = re.compile(r"[a-z0-9][a-z0-9._-]*==[0-9][0-9a-z.!]*( ; [^/@]+)?")
    assert [line for line in read_pins() if not pin.fullmatch(line)] == []
    assert "://" not in (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8")


def test_environment_yml_has_every_extra_and_no_list_of_its_own():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    entries = [line.strip()[2:] for line in text.splitlines() if line.strip().startswith("- ")]
    oldest = next(spec.version for spec in SpecifierSet(PROJECT["requires-python"]) if spec.operator == ">=")
    minor = ".".join(oldest.split(".")[:2])
    assert entries == ["conda-forge", f"python={minor}", "pip", "pip:", "-c requirements/constraints.txt",
                       f"-e .[{','.join(sorted(EXTRAS))}]"]


@pytest.fixture
def bootstrap(tmp_path):
    """bootstrap.py of a small copy of the repository, in a folder with a space in its name."""
    root = tmp_path / "a folder"
    (root / "requirements").mkdir(parents=True)
    for name in ("bootstrap.py", "pyproject.toml", "requirements/constraints.txt"):
        shutil.copy(ROOT / name, root / name)
    specification = importlib.util.spec_from_file_location("bootstrap", root / "bootstrap.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def children(bootstrap, monkeypatch):
    """Replace child processes: record each command, make what it would make, install nothing.

    `children.fails` is a function of the command; where it is true the child ends with exit code 1.
    """
    def run(command, **options):
        command = [str(part) for part in command]
        run.commands.append(command)
        failed = run.fails(command)
        if "venv" in command and not failed:
            shutil.rmtree(bootstrap.VENV, ignore_errors=True)
            bootstrap.PYTHON.parent.mkdir(parents=True)
            bootstrap.PYTHON.touch()
        return subprocess.CompletedProcess(command, int(failed), stdout=run.output)

    run.commands, run.fails, run.output = [], lambda command: False, ""
    monkeypatch.setattr(bootstrap.subprocess, "run", run)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    return run


def installs(children):
    """Return the recorded commands that install the project."""
    return [command for command in children.commands if ".[audit,bench,datasets,docs,test]" in command]


def refusal(capsys, function, *arguments):
    """Return the one sentence with which a call stops."""
    with pytest.raises(SystemExit) as stop:
        function(*arguments)
    printed = capsys.readouterr()
    assert stop.value.code == 2 and printed.out == ""
    sentence = printed.err.strip().splitlines()[-1]
    assert sentence.endswith(".") and "Traceback" not in printed.err
    return sentence


def test_python_range_equals_pyproject(bootstrap):
    oldest, newest = (".".join(map(str, part)) for part in (bootstrap.OLDEST, bootstrap.TOO_NEW))
    assert SpecifierSet(PROJECT["requires-python"]) == SpecifierSet(f">={oldest},<{newest}")


@pytest.mark.parametrize("version, suitable", [
    ((3, 10, 13), False), ((3, 11, 4), False), ((3, 11, 5), True), ((3, 13, 9), True), ((3, 14, 0), False)])
def test_suitable_python(bootstrap, version, suitable):
    assert bootstrap.is_suitable(version) is suitable


@pytest.mark.parametrize("version", [(3, 8, 18), (3, 11, 2), (3, 14, 1)])
def test_unsuitable_python_is_refused_in_one_sentence(bootstrap, monkeypatch, capsys, version):
    monkeypatch.setattr(bootstrap.sys, "version_info", version)
    monkeypatch.setenv("PATH", "")
    sentence = refusal(capsys, bootstrap.main, ["report"])
    assert "found " + ".".join(map(str, version)) in sentence and "install the newest Python 3.11" in sentence
    assert not bootstrap.VENV.exists()


def test_unsuitable_python_hands_over_to_a_suitable_one(bootstrap, monkeypatch):
    commands = []
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 10, 13))
    monkeypatch.setattr(bootstrap, "find_python", lambda: "/somewhere/python3.12")
    monkeypatch.setattr(bootstrap, "run", lambda command: commands.append(command) or 7)
    assert bootstrap.main(["test", "-q"]) == 7
    assert commands == [["/somewhere/python3.12", bootstrap.ROOT / "bootstrap.py", "test", "-q"]]


def test_unknown_command_is_refused(bootstrap, capsys):
    assert "report|test|trust|lab|what-if|docs|bench|audit|setup" in refusal(capsys, bootstrap.main, ["reports"])


@pytest.mark.parametrize("name", ["requirements/constraints.txt", "pyproject.toml"])
def test_fingerprint_changes_with_the_pins(bootstrap, name):
    before = bootstrap.fingerprint()
    assert bootstrap.fingerprint() == before
    with (bootstrap.ROOT / name).open("a") as file:
        file.write("# changed\n")
    assert bootstrap.fingerprint() != before


def test_second_call_is_silent_and_starts_nothing(bootstrap, children, capsys):
    bootstrap.set_up()
    assert capsys.readouterr().err.count("\n") == 1 and len(installs(children)) == 1
    children.commands.clear()
    bootstrap.set_up()
    assert children.commands == [] and capsys.readouterr() == ("", "")


def test_changed_pins_install_again_in_the_same_venv(bootstrap, children):
    bootstrap.set_up()
    children.commands.clear()
    (bootstrap.ROOT / "requirements" / "constraints.txt").write_text("pandas==3.1.1\n")
    bootstrap.set_up()
    assert len(installs(children)) == 1 and not any("venv" in command for command in children.commands)


@pytest.mark.parametrize("half_made", ["killed", "other Python", "no interpreter", "torn stamp"])
def test_half_made_or_foreign_venv_is_made_again(bootstrap, children, monkeypatch, half_made):
    bootstrap.set_up()
    children.commands.clear()
    if half_made == "killed":
        bootstrap.STAMP.unlink()
    elif half_made == "other Python":
        monkeypatch.setattr(bootstrap.sys, "version_info", (3, 99, 0))
    elif half_made == "no interpreter":
        bootstrap.PYTHON.unlink()
    else:
        bootstrap.STAMP.write_text("Pyth")
    bootstrap.set_up()
    assert sum("venv" in command for command in children.commands) == 1
    assert bootstrap.STAMP.read_text(encoding="utf-8") == bootstrap.fingerprint()


def test_kill_while_pins_change_is_seen_by_the_next_call(bootstrap, children, monkeypatch):
    bootstrap.set_up()
    (bootstrap.ROOT / "pyproject.toml").write_text("# changed\n")

    def killed():
        raise KeyboardInterrupt

    monkeypatch.setattr(bootstrap, "install", killed)
    with pytest.raises(KeyboardInterrupt):
        bootstrap.set_up()
    assert not bootstrap.STAMP.exists()


def test_network_away_says_what_to_do(bootstrap, children, capsys):
    children.fails = lambda command: "install" in command
    sentence = refusal(capsys, bootstrap.set_up)
    assert "network" in sentence and "PIP_FIND_LINKS" in sentence and "install.log" in sentence
    assert bootstrap.LOG.is_file() and not bootstrap.STAMP.exists()


def test_pip_takes_over_where_uv_fails(bootstrap, children):
    children.fails = lambda command: command[1:3] == ["-m", "uv"]
    bootstrap.set_up()
    assert installs(children)[-1][1:4] == ["-m", "pip", "install"]
    assert bootstrap.STAMP.exists()


def test_venv_that_cannot_be_created_gives_the_reason(bootstrap, children, capsys):
    children.fails, children.output = lambda command: "venv" in command, "first line\nNo space left on device\n"
    sentence = refusal(capsys, bootstrap.set_up)
    assert "No space left on device" in sentence and "cannot be created" in sentence


def test_find_links_of_pip_and_of_the_environment_reach_uv(bootstrap, children, monkeypatch):
    children.output = "wheels/one wheels/two\n"
    monkeypatch.setenv("PIP_FIND_LINKS", "wheels/two wheels/three")
    bootstrap.set_up()
    command = installs(children)[0]
    links = [command[place + 1] for place, word in enumerate(command) if word == "--find-links"]
    assert links == ["wheels/one", "wheels/two", "wheels/three"] and "--torch-backend" not in command


@pytest.mark.parametrize("platform, gpu, small", [
    ("linux", False, True), ("linux", True, False), ("win32", False, False), ("darwin", False, False)])
def test_small_torch_only_on_linux_without_gpu(bootstrap, children, monkeypatch, platform, gpu, small):
    monkeypatch.setattr(bootstrap.sys, "platform", platform)
    monkeypatch.setattr(bootstrap, "has_gpu", lambda: gpu)
    bootstrap.set_up()
    assert [command[-2:] == ["--torch-backend", "cpu"] for command in installs(children)] == [small]


def test_exit_code_and_arguments_pass_through(bootstrap, monkeypatch, capfd):
    monkeypatch.setattr(bootstrap, "set_up", lambda: None)
    monkeypatch.setattr(bootstrap, "PYTHON", sys.executable)
    (bootstrap.ROOT / "benchmarks").mkdir()
    (bootstrap.ROOT / "benchmarks" / "one.py").write_text("import sys; sys.exit(3)")
    (bootstrap.ROOT / "benchmarks" / "two.py").write_text("import sys; print(sys.argv[1], sys.flags.utf8_mode)")
    assert bootstrap.main(["bench", "fast"]) == 3
    assert capfd.readouterr() == ("fast 1\n", "")


def test_no_benchmark_is_said(bootstrap, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "set_up", lambda: None)
    assert bootstrap.main(["bench"]) == 0
    assert "no benchmarks yet" in capsys.readouterr().err
