"""The guides and README: every block of code parses, and in the slow tests runs, as printed."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from semblance.command.main import app

from tests.processes import Server, eventually, serving
from tests.uploads import make_image_zip, make_people_csv

ROOT = Path(__file__).parents[2]
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
DOCUMENTS = [ROOT / "README.md", *(guide for guide in GUIDES if guide.stem != "README")]
BLOCK = re.compile(r"^```(sh|python|js)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A command ends at a pipe or another operator outside of quotes.
COMMAND = re.compile(r"""\bsemblance (?!-)(?:"[^"]*"|[^\n|<>);#"])+""")
LIBRARIES = ("pandas", "pyarrow", "torch", "PIL")


@dataclass(frozen=True)
class Block:
    language: str
    code: str


def find_blocks(document: Path) -> list[Block]:
    return [Block(language, code) for language, code in BLOCK.findall(document.read_text())]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_every_block_parses_and_its_commands_and_options_exist(document: Path) -> None:
    for block in find_blocks(document):
        if block.language == "python":
            compile(block.code, document.name, "exec")
        elif block.language == "sh":
            subprocess.run(["bash", "-n"], input=block.code, text=True, check=True)
            for line in COMMAND.findall(block.code.replace("\\\n", " ")):
                check_command(shlex.split(line)[1:])


def check_command(words: list[str]) -> None:
    """Raise UsageError if the command line has no such command or option."""
    command: click.Command = app
    context = click.Context(app)
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
        context = click.Context(command, parent=context)
    assert command is not app, words
    command.make_parser(context).parse_args(words)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"SEMBLANCE_AUTO_EVALUATE": "true", "SEMBLANCE_LEASE_SECONDS": "30"}
    with serving(tmp_path_factory.mktemp("server") / "var", **settings) as running:
        eventually(running.is_ready)
        yield running


@pytest.fixture
def folder(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder of a reader: with data, a key, and the command on the PATH."""
    (tmp_path / "shoes.zip").write_bytes(make_image_zip(("sneaker", "bag"), each=120))
    (tmp_path / "people.csv").write_bytes(make_people_csv(1_000))
    (tmp_path / "var").symlink_to(server.folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SEMBLANCE_URL", server.url)
    monkeypatch.setenv("SEMBLANCE_KEY", (server.folder / "admin.key").read_text().strip())
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_every_block_runs_in_order(document: Path, folder: Path, server: Server) -> None:
    blocks = find_blocks(document)
    if any(block.language == "python" for block in blocks):
        for library in LIBRARIES:
            pytest.importorskip(library)
    # The commands of one document share a shell: later ones use the variables of earlier ones.
    exported: list[str] = []
    names: dict[str, Any] = {}
    for block in blocks:
        code = block.code.replace("http://127.0.0.1:8000", server.url)
        if block.language == "python":
            exec(compile(code, document.name, "exec"), names)  # noqa: S102 - our own guides
        elif block.language == "sh":
            run(["bash", "-euo", "pipefail", "-c", "\n".join([*exported, code])])
            exported += re.findall(r"^export (?!PATH).*$", code, re.MULTILINE)
        elif shutil.which("node"):
            run(["node", "--input-type=module", "-e", code])


def run(command: list[str]) -> None:
    completed = subprocess.run(command, capture_output=True, text=True)
    assert completed.returncode == 0, f"{command[-1]}\n{completed.stdout}\n{completed.stderr}"
