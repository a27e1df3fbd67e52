"""A snapshot of the OpenAPI document, and the paths that the README names."""

import difflib
import re
from pathlib import Path

from app.openapi import render

ROOT = Path(__file__).parents[2]
SNAPSHOT = ROOT / "docs" / "openapi.json"


def test_the_snapshot_matches_the_openapi_document() -> None:
    stored, current = SNAPSHOT.read_text(), render()
    changes = difflib.unified_diff(
        stored.splitlines(),
        current.splitlines(),
        "docs/openapi.json",
        "this code",
        n=2,
        lineterm="",
    )
    assert stored == current, "run `make openapi` and commit:\n" + "\n".join(list(changes)[:80])


def test_every_path_in_the_readme_exists() -> None:
    paths = set(re.findall(r'^  "(/[^"]*)": \{', SNAPSHOT.read_text(), re.MULTILINE))
    patterns = [re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in paths]
    text = (ROOT / "README.md").read_text().replace("$U", "/v1")
    readme_paths = set(re.findall(r"(?<![\w.])/v1/[\w/{}…@.-]+", text))
    unknown = {
        path for path in readme_paths if not any(p.fullmatch(path.rstrip(".")) for p in patterns)
    }
    assert not unknown
