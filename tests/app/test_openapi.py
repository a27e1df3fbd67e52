"""The REST contract as other people see it: a snapshot of the OpenAPI document."""

import difflib
import re
from pathlib import Path

from app.openapi import render

ROOT = Path(__file__).parents[2]
SNAPSHOT = ROOT / "docs" / "openapi.json"


def test_a_change_of_the_contract_shows_up_in_the_snapshot() -> None:
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


def test_every_path_that_the_readme_names_exists() -> None:
    paths = set(re.findall(r'^  "(/[^"]*)": \{', SNAPSHOT.read_text(), re.MULTILINE))
    patterns = [re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in paths]
    text = (ROOT / "README.md").read_text().replace("$U", "/v1")
    named = set(re.findall(r"(?<![\w.])/v1/[\w/{}…@.-]+", text))
    unknown = {path for path in named if not any(p.fullmatch(path.rstrip(".")) for p in patterns)}
    assert not unknown
