"""Work of a modality on untrusted files, in a sandbox process."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.datasets.sandbox import run_in_sandbox
from core.datasets.source import SourceFile
from core.errors import DatasetUnreadable
from core.limits import Limits
from core.settings import get_settings
from modalities.sampling import IMPORT_TIMEOUT_S

Json = dict[str, Any]

# Summary of a dataset whose items all have labels and are for training.
NOTHING_SPECIAL: Json = {"unlabeled": 0, "n_test": 0, "issues": [], "notes": []}


class Upload(BaseModel):
    """Files to read, and the empty folder for the objects of the dataset."""

    modality: str  # its class, as "package.module:name"
    files: list[SourceFile]
    options: Json
    limits: Limits
    out: Path


class ImportedWeights(BaseModel):
    modality: str  # as in Upload
    path: Path


class SandboxedFiles:
    """Methods of a modality that start a sandbox process and call the modality there.

    Its class must not need arguments.
    """

    def read(self, upload: Upload) -> Json:
        """Read the files and write `object_files` into the folder `upload.out`.

        Returns:
            The dataset's summary (see modalities.base.Datasets.ingest), in which the entries of
            NOTHING_SPECIAL may be missing.
        """
        raise NotImplementedError

    def load_sampler(self, path: Path, device: str = "cpu") -> Any:
        """Load a model file; see modalities.sampling.Sampling."""
        raise NotImplementedError

    def ingest(
        self, files: Sequence[SourceFile], options: Json, out: Path, on_wait: Callable[[], None]
    ) -> Json:
        """Call `read` in a sandbox process."""
        settings = get_settings()
        upload = Upload(
            modality=self._class_path(),
            files=[SourceFile(file.path.resolve(), file.name) for file in files],
            options=options,
            limits=settings.limits,
            out=out.resolve(),
        )
        timeout_s = settings.ingest_timeout_seconds
        summary = run_in_sandbox("modalities.sandboxed:read_upload", upload, timeout_s, on_wait)
        return NOTHING_SPECIAL | summary

    def check_import(self, manifest: Json, weights: Path) -> None:  # noqa: ARG002 - the interface
        """Call `load_sampler` in a sandbox process."""
        argument = ImportedWeights(modality=self._class_path(), path=weights)
        run_in_sandbox("modalities.sandboxed:check_weights", argument, IMPORT_TIMEOUT_S)

    def _class_path(self) -> str:
        return f"{type(self).__module__}:{type(self).__name__}"


def read_upload(upload: Upload) -> Json:
    return _create(upload.modality).read(upload)


def check_weights(weights: ImportedWeights) -> Json:
    try:
        _create(weights.modality).load_sampler(weights.path)
    except ValueError as error:
        raise DatasetUnreadable("The file is not a model of this kind of data.") from error
    return {}


def _create(class_path: str) -> SandboxedFiles:
    module, _, name = class_path.partition(":")
    modality: SandboxedFiles = getattr(import_module(module), name)()
    return modality
