"""Packages: none has a published vulnerability that was mended, and the SBOM lists all of them."""

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

# The first version without the named vulnerabilities.
MINIMUM = {
    "h11": "0.16.0",  # CVE-2025-43859
    "pillow": "12.2",  # CVE-2026-25990, GHSA-wjx4-4jcj-g98j
    "pyarrow": "23.0.1",
    "python-multipart": "0.0.30",  # CVE-2026-42561, CVE-2026-53539
    "starlette": "1.3.1",  # CVE-2026-48710, CVE-2026-54283
    "torch": "2.10",  # CVE-2025-32434
}


@pytest.mark.parametrize("package", MINIMUM)
def test_a_package_is_not_older_than_its_first_safe_version(package: str) -> None:
    assert Version(version(package)) >= Version(MINIMUM[package])


@pytest.mark.slow  # uv installs the tool from the package index
def test_the_sbom_has_each_locked_package_with_its_hashes(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    locked = root / "requirements" / "base.txt"
    (tmp_path / "requirements").mkdir()
    shutil.copy(locked, tmp_path / "requirements")
    subprocess.run(
        [
            "make",
            "--file",
            root / "Makefile",
            "--old-file=install-dev",
            "sbom",
            f"VENV={sys.prefix}",
        ],
        cwd=tmp_path,
        check=True,
    )
    document = json.loads((tmp_path / "sbom.json").read_text())
    assert document["bomFormat"] == "CycloneDX"
    hashes = {
        (component["name"], component["version"]): {
            digest["content"]
            for reference in component["externalReferences"]
            for digest in reference.get("hashes", [])
        }
        for component in document["components"]
    }
    expected: dict[tuple[str, str], set[str]] = {}
    for line in locked.read_text().splitlines():
        if package := re.match(r"([\w.-]+)(?:\[.*\])?==([^ ;]+)", line):
            current = expected.setdefault((package[1], package[2]), set())
        elif digest := re.search(r"--hash=sha256:(\w+)", line):
            current.add(digest[1])
    assert len(expected) > 50
    assert hashes == expected
