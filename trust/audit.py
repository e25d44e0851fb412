"""Audit the pinned versions against published advisories, and write the software bill of materials beside a release: python -m trust.audit"""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def audit_pins(pins: Path) -> tuple[int, dict[str, list[str]]]:
    """Look every pinned version up among the published advisories.

    Returns
    -------
    looked_up : int
        Packages that the advisory service knew.
    found : dict of str to list of str
        Advisories by package and version.
    """
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(pins), "--no-deps", "--disable-pip", "--format", "json",
               "--progress-spinner", "off"]
    ended = subprocess.run(command, capture_output=True, text=True)
    if not ended.stdout.strip():
        return 0, {}
    rows = [row for row in json.loads(ended.stdout)["dependencies"] if "skip_reason" not in row]
    return len(rows), {f"{row['name']} {row['version']}": [advisory["id"] for advisory in row["vulns"]] for row in rows if row["vulns"]}


def write_bill(folder: Path) -> Path:
    """Write which packages the environment holds, with versions and licences, as CycloneDX."""
    folder.mkdir(exist_ok=True)
    bill = folder / f"medlib-{metadata.version('medlib')}.cdx.json"
    subprocess.run([sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible",
                    "--of", "JSON", "-o", str(bill), sys.executable], check=True)
    return bill


def main() -> int:
    """Print what was found; the exit code is 1 where there are advisories, 3 where none could be looked up."""
    bill = write_bill(ROOT / "dist")
    print(f"bill of materials: {bill.relative_to(ROOT)}, {len(json.loads(bill.read_text(encoding='utf-8'))['components'])} packages")
    looked_up, found = audit_pins(ROOT / "requirements" / "constraints.txt")
    if not looked_up:
        print("The advisory service could not be reached from here, so no version was looked up; run this where it can.")
        return 3
    print(f"{looked_up} pinned versions looked up, {len(found)} with advisories")
    for package, advisories in found.items():
        print(f"{package}: {', '.join(advisories)}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
