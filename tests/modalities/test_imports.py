"""The API process must start fast: it imports torch and pyarrow when they are needed."""

import subprocess
import sys


def test_neither_the_routes_nor_the_modalities_import_torch_or_pyarrow_at_the_start() -> None:
    code = (
        "import sys, app.main; from modalities import registry; registry.installed();"
        "print(sorted({'torch', 'pyarrow'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
