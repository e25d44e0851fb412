"""Full disks and folders that can't be written, really: a small disk laid over the reports folder, where the system lets us."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from trust import Trial
from trust.runs import NAME, RESUME, SHORT, Project, check_end, find_damage, judge, look, read_manifest

NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
#: Shares of the undisturbed run's size at which the disk is full.
ROOM = (0.0, 0.2, 0.5, 0.9)


def _can_mount() -> bool:
    return bool(shutil.which("unshare")) and not subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode


def _run_on_disk(project: Project, words: tuple[str, ...], size: int, filled: Path | None = None) -> str:
    """Run on a disk of so many bytes, then make room and go on; leaves first/ and last/ and gives what the first said."""
    for name in ("first", "last"):
        shutil.rmtree(project.folder / name, ignore_errors=True)
    shutil.rmtree(project.reports, ignore_errors=True)
    project.reports.mkdir()
    if _can_mount():
        before, limit, after = NAMESPACE, f"mount -t tmpfs -o size={size} none reports || exit 99", "mount -o remount,size=1g reports"
    else:  # a limit on each file's size is the nearest that needs no right
        before, limit, after = (), f"ulimit -S -f {max(size // 4096, 1)}", "ulimit -S -f unlimited"
    fill = f'cp -R "{filled}" reports/{NAME}' if filled else ":"
    # Behind the script stand: python -c CODE WORDS.
    script = (f'{limit}\n{fill}\n"$@" 2> said.txt\necho $? >> said.txt\ncp -R reports first\n{after}\n'
              f'if test -f reports/{NAME}/run.json; then "$1" -c "$3" {" ".join(RESUME)}; else "$@"; fi\ncode=$?\ncp -R reports last\nexit $code\n')
    (project.folder / "disk.sh").write_text(script, encoding="utf-8")
    project.ask(*words, before=(*before, "sh", "disk.sh"))
    shutil.rmtree(project.reports)
    return (project.folder / "said.txt").read_text(encoding="utf-8")


def _judge_disk(project: Project, reference: Path, said: str) -> list[str]:
    *told, code = said.strip().splitlines()
    first, last = (project.folder / name / NAME for name in ("first", "last"))
    damage = [check_end(int(code), said if "Traceback" in said else told[-1], "disk is full")]
    damage += [f"left over: {path.name}" for path in (project.folder / "first").rglob(".*.part")]
    damage += [f"on the full disk {line}" for line in look(first, reference)]
    return damage + ([f"afterwards {line}" for line in find_damage(last, reference, complete=True)] if last.is_dir() else ["not gone on with"])


def fill_disk(project: Project, reference: Path) -> Iterator[Trial]:
    """Fill the disk at several moments of a run."""
    size = sum(path.stat().st_size for path in reference.rglob("*") if path.is_file())
    for share in ROOM:
        said = _run_on_disk(project, SHORT, 8192 + int(share * size))
        told = said.strip().splitlines()[-2]
        yield judge(f"disk full when a run has written {share:.0%}", _judge_disk(project, reference, said), told)


def fill_disk_at_page(project: Project, reference: Path) -> Trial:
    """All notebooks are done, and there is no room for the page."""
    filled = project.folder / "filled"
    shutil.copytree(reference, filled, ignore=shutil.ignore_patterns("report.html"))
    (filled / "run.json").write_text(json.dumps(read_manifest(reference) | {"status": "running"}), encoding="utf-8")
    pages = sum(-(-path.stat().st_size // 4096) for path in filled.rglob("*") if path.is_file())
    said = _run_on_disk(project, RESUME, 4096 * (pages + 20), filled)
    return judge("disk full when the page is written", _judge_disk(project, reference, said), said.strip().splitlines()[-2])


def forbid_writing(project: Project) -> Trial:
    """Start a run where nothing can be written."""
    project.reports.mkdir(exist_ok=True)
    if _can_mount():
        (project.folder / "disk.sh").write_text('mount -t tmpfs -o ro none reports || exit 99\n"$@"\n', encoding="utf-8")
        code, told = project.ask(*SHORT, before=(*NAMESPACE, "sh", "disk.sh"))
    else:
        project.reports.chmod(0o555)
        code, told = project.ask(*SHORT)
        project.reports.chmod(0o755)
    damage = [check_end(code, told, "can't be written"), *(f"left over: {path.name}" for path in project.reports.rglob("*.part"))]
    return judge("reports folder that can't be written", damage, told)
