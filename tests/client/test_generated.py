"""The client's generated files, compared with the published OpenAPI document."""

import importlib.util
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from semblance import AsyncClient, Client

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "client" / "semblance"
DOCUMENT = json.loads((ROOT / "docs" / "openapi.json").read_text())
OPERATIONS = [
    (operation, media)
    for methods in DOCUMENT["paths"].values()
    for operation in methods.values()
    for media in [
        {
            media
            for status, response in operation["responses"].items()
            if status.startswith("2")
            for media in response.get("content", {})
        }
    ]
]


def load_generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "client" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_files_are_those_of_the_published_document() -> None:
    for name, text in load_generator().render().items():
        assert (PACKAGE / name).read_text() == text, f"{name}: run python client/generate.py"


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_every_route_has_a_method(client: type) -> None:
    for operation, media in OPERATIONS:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation["operationId"]).lower()
        parameters = inspect.signature(getattr(client, name)).parameters
        missing = [
            parameter["name"]
            for parameter in operation.get("parameters", [])
            if parameter["in"] == "path" and parameter["name"] not in parameters
        ]
        assert missing == [], name
        if "application/json" in media and len(media - {"text/event-stream"}) > 1:
            assert hasattr(client, f"{name}_file")


def test_both_clients_have_the_same_methods() -> None:
    def methods(client: type) -> set[str]:
        return {name for name in dir(client) if not name.startswith("_")}

    assert methods(AsyncClient) - {"aclose"} == methods(Client) - {"close"}


def test_importing_the_client_imports_no_library() -> None:
    program = (
        "import sys, semblance; from semblance import Client; "
        "print({'httpx', 'numpy', 'pandas', 'pyarrow', 'PIL', 'torch'} & set(sys.modules))"
    )
    completed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert completed.stdout.strip() == "set()"


@pytest.mark.slow
def test_the_types_are_seen_by_a_program_that_is_checked_strictly(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from semblance import Client\n"
        "with Client.from_env() as client:\n"
        "    job = client.train('ds_1', preset='fast', budget={'cpu_seconds': 60})\n"
        "    steps: int = client.wait(job['id'])['progress']['step']\n"
        "    names: list[str] = [model['name'] for model in client.iter_models()]\n"
        "    reveal_type(client.read_report('shoes'))\n"
        "    client.train('ds_1', preset='fastest')\n"
        "    job['stat']\n"
    )
    completed = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(program)],
        cwd=ROOT,  # and its cache
        capture_output=True,
        text=True,
        env={"MYPYPATH": str(ROOT / "client"), "PATH": ""},
    )
    lines = [line for line in completed.stdout.splitlines() if "program.py" in line]
    assert "types.Report" in next(line for line in lines if "note: Revealed" in line)
    assert [re.search(r":(\d+): error", line)[1] for line in lines if ": error" in line] == [  # type: ignore[index]
        "7",
        "8",
    ]
