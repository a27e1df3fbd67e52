"""Generators of clients and a linter read the OpenAPI document without a warning.

`make test-generators` installs the tools and runs these tests. The generator of Python clients
has an environment other than the project's.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import eventually, serving
from tests.uploads import make_image_zip

LIMIT_S = 600  # of one tool, which takes seconds on an idle machine
pytestmark = pytest.mark.timeout(LIMIT_S + 100)

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "openapi.json"


def find_tool(name: str, how: str) -> str:
    folders = os.pathsep.join([str(HERE / "node_modules" / ".bin"), os.environ["PATH"]])
    tool = shutil.which(name, path=folders)
    if tool is None or (how.startswith("npm") and shutil.which("node") is None):
        pytest.skip(f"{name} is not installed: {how}")
    return tool


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


NODE = "npm install --prefix tests/contract --no-package-lock"


def test_spectral_finds_no_errors_and_no_warnings() -> None:
    tool = find_tool("spectral", NODE)
    rules = HERE / "spectral.yaml"
    output = run(tool, "lint", DOCUMENT, "--ruleset", rules, "--fail-severity=warn")
    assert "No results" in output


def test_openapi_typescript_writes_types_that_compile(tmp_path: Path) -> None:
    types = tmp_path / "api.ts"
    output = run(find_tool("openapi-typescript", NODE), DOCUMENT, "--output", types)
    assert "warn" not in output.lower()
    page = tmp_path / "page.ts"
    page.write_text(
        'import type { components, operations } from "./api";\n'
        'const state: components["schemas"]["JobView"]["state"] = "queued";\n'
        'type Created = operations["createJob"]["responses"][202]["content"]["application/json"];\n'
        "export const name = (job: Created): string => job.name + state;\n"
    )
    run(find_tool("tsc", NODE), "--noEmit", "--strict", "--target", "es2022", page)


def generate_python_client(folder: Path) -> str:
    """Write the package `generated` into the folder; return what the generator says."""
    tool = find_tool("openapi-python-client", "pip install openapi-python-client")
    configuration = ("--config", HERE / "openapi-python-client.yaml", "--meta", "none")
    out = ("--output-path", folder / "generated")
    return run(tool, "generate", "--path", DOCUMENT, *out, *configuration)


def test_openapi_python_client_generates_all_operations(tmp_path: Path) -> None:
    output = generate_python_client(tmp_path)
    assert "WARNING" not in output
    assert "unable" not in output.lower()
    modules = {path.stem for path in (tmp_path / "generated" / "api").rglob("*.py")}
    assert {"create_job", "create_dataset", "create_samples", "list_events"} <= modules
    run(sys.executable, "-m", "compileall", "-q", tmp_path / "generated")


@pytest.mark.slow
@pytest.mark.timeout(2_000)
def test_a_generated_python_client_uploads_trains_samples_and_reads_the_report(
    tmp_path: Path,
) -> None:
    generate_python_client(tmp_path)
    upload = tmp_path / "pets.zip"
    upload.write_bytes(make_image_zip(each=120))  # enough for an evaluation
    # A busy machine must not lose the jobs.
    with serving(tmp_path / "data", SEMBLANCE_LEASE_SECONDS="60") as server:
        eventually(server.is_ready, within=600)
        key = (tmp_path / "data" / "admin.key").read_text().strip()
        program = [sys.executable, HERE / "use_generated_client.py", server.url, key, upload]
        done = subprocess.run(
            program,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=1_200,
        )
    assert done.returncode == 0, done.stdout + done.stderr
