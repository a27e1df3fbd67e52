"""Keep pandas out of the processes of the service.

Where pandas is installed, pyarrow imports it to create its first array. Nothing in the service uses
it, and the import takes half a second in each process, also in the sandbox of each upload.
"""

import sys
from importlib.abc import MetaPathFinder


class _NoPandas(MetaPathFinder):
    def find_spec(self, fullname: str, _path: object, _target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("The service does not use pandas.", name=fullname)


def prevent_import() -> None:
    """Let `import pandas` fail in this process, as if pandas were not installed."""
    sys.meta_path.insert(0, _NoPandas())
