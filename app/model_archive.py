"""A model as a file: a zip, stored, whose manifest has the format's version and the sha256 of each
other file: the weights (safetensors), what can be asked for (model.json), the card.

What comes in is not trusted: names are compared and never used as paths, nothing is unpacked that
is packed, sizes and hashes are checked, and the weights are used once in a child process with
limits before anything is kept.
"""

import hashlib
import io
import json
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app import strict_json as strict_json
from app.schemas.types import Label, ModelName, Tags
from core.datasets.chunk_buffer import ChunkBuffer
from core.datasets.sandbox import run_in_sandbox
from core.datasets.tabular import Column
from core.datasets.tabular.formatting import format_values, to_json_values
from core.datasets.tabular.type_casting import ARROW_TYPES
from core.errors import BadRequest, DatasetUnreadable, ValidationFailed
from core.settings import MIB, get_settings
from core.storage import Storage, StoredObject
from core.tables import Model

Body = TypeVar("Body", bound=BaseModel)

FORMAT_VERSION = 1
WEIGHTS, MODEL_MANIFEST, CARD, MANIFEST = (
    "model.safetensors",
    "model.json",
    "card.json",
    "manifest.json",
)
FILE_NAMES = {WEIGHTS, MODEL_MANIFEST, CARD, MANIFEST}
MAX_JSON_BYTES = 8 * MIB
MAX_DIRECTORY_BYTES = 64 * 1024
CHECK_TIMEOUT_S = 120.0

_END = struct.Struct("<4s4H2LH")  # of the zip's directory: APPNOTE 6.3.10, 4.3.16


class FileHash(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class ArchiveManifest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: int
    name: ModelName
    version: int = Field(ge=0)
    modality: Literal["image", "tabular"]
    step: int = Field(ge=0, lt=2**31)
    description: Annotated[str, Field(max_length=4_096)] | None = None
    tags: Tags = {}
    exported_by: str = Field(max_length=64)
    files: dict[str, FileHash]


class ManifestLabel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Label
    count: int = Field(ge=1, lt=2**53)
    value: str | bool | None = None


class ManifestColumn(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=256)]
    type: Literal["integer", "number", "category", "boolean", "datetime", "id"]
    nullable: bool
    decimals: Annotated[int, Field(ge=0, le=18)] | None
    format: Annotated[str, Field(max_length=64)] | None
    exclude: Literal[False]
    domain: dict[str, Any] | None

    @property
    def column(self) -> Column:
        return Column.from_dict(self.model_dump(exclude={"domain"}))


class ModelManifest(BaseModel):
    """A model's manifest, as `core.tables.Model` has it."""

    model_config = ConfigDict(extra="ignore", strict=True)

    modality: Literal["image", "tabular"]
    labels: list[ManifestLabel]
    image: dict[Literal["height", "width", "channels"], int] | None = None
    target_column: str | None = None
    columns: list[ManifestColumn] | None = None
    parameters: int = Field(ge=0)
    training: dict[str, Any]
    dataset: dict[str, str | None] = {}
    code: dict[str, str] = {}


class ModelExport:
    """Of a model that is here."""

    def __init__(self, model: Model, card: bytes) -> None:
        self._weights = StoredObject.from_dict(model.weights)
        self._files = {MODEL_MANIFEST: _json(model.manifest), CARD: card}
        hashes = {WEIGHTS: FileHash(bytes=self._weights.bytes, sha256=self._weights.sha256)}
        hashes |= {name: _hash(data) for name, data in self._files.items()}
        about = ArchiveManifest(
            format=FORMAT_VERSION,
            name=model.name,
            version=model.version,
            modality=model.modality,  # type: ignore[arg-type] # one of the two
            step=model.step,
            description=model.description,
            tags=model.tags,
            exported_by=version("semblance-server"),
            files=hashes,
        )
        self._manifest = _json(about.model_dump(mode="json"))
        self.sha256 = _hash(self._manifest).sha256  # of all, as it holds the others' hashes

    def stream(self, storage: Storage) -> Iterator[bytes]:
        pipe = ChunkBuffer()
        with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
            for name, data in {MANIFEST: self._manifest, **self._files}.items():
                archive.writestr(zipfile.ZipInfo(name), data)
            info = zipfile.ZipInfo(WEIGHTS)
            info.file_size = self._weights.bytes
            with archive.open(info, "w") as out:
                for piece in storage.stream(self._weights):
                    out.write(piece)
                    yield pipe.drain()
        yield pipe.drain()


@dataclass(frozen=True)
class ModelImport:
    """An archive whose hashes are right; `check` looks at what they are of."""

    manifest: ArchiveManifest
    model_manifest: dict[str, Any]
    weights: Path

    def check(self) -> None:
        """Raises ValidationFailed unless the weights draw what the encoder says."""
        try:
            found = run_in_sandbox(
                "validate_checkpoint", {"path": str(self.weights)}, CHECK_TIMEOUT_S
            )
        except DatasetUnreadable as error:
            raise _import_error("the weights are not those of a model of this service") from error
        encoder = _parse(ModelManifest, self.model_manifest, MODEL_MANIFEST)
        if not (found["modality"] == encoder.modality == self.manifest.modality):
            _reject("its files are of different kinds of models")
        _check_labels(encoder)
        if encoder.modality == "image":
            _check_images(encoder, found)
        else:
            _check_rows(encoder, found)


@contextmanager
def open_archive(path: Path) -> Iterator[ModelImport]:
    """Raises ValidationFailed, and BadRequest when it is no zip."""
    _check_end(path)
    try:
        with (
            zipfile.ZipFile(path) as archive,
            tempfile.TemporaryDirectory(dir=get_settings().scratch, prefix="import-") as folder,
        ):
            _check_entries(archive)
            about = _parse(ArchiveManifest, _read_json(archive, MANIFEST), MANIFEST)
            if about.format != FORMAT_VERSION:
                _reject(f"format {about.format}; this version reads {FORMAT_VERSION}")
            if set(about.files) != FILE_NAMES - {MANIFEST}:
                _reject(f"the manifest does not list {', '.join(sorted(FILE_NAMES - {MANIFEST}))}")
            weights = Path(folder) / WEIGHTS
            _extract(archive, WEIGHTS, weights)
            for name, wanted in about.files.items():
                if _hash_of(archive, name) != wanted:
                    _reject(f"{name} is not what the manifest says: it was changed or damaged")
            yield ModelImport(about, _read_json(archive, MODEL_MANIFEST), weights)
    except (zipfile.BadZipFile, EOFError, struct.error, NotImplementedError) as error:
        raise BadRequest("the file is no whole zip archive", code="archive_invalid") from error


def _check_end(path: Path) -> None:
    """Before the standard library reads the directory: it keeps all of what is announced there."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - _END.size))
        end = file.read()
    if len(end) < _END.size or end[:4] != b"PK\x05\x06":
        raise BadRequest("the file is no whole zip archive", code="archive_invalid")
    _, _, _, _, entries, length, _, _ = _END.unpack(end)
    if entries != len(FILE_NAMES) or length > MAX_DIRECTORY_BYTES:
        _reject(f"an exported model holds {', '.join(sorted(FILE_NAMES))} and nothing else")


def _check_entries(archive: zipfile.ZipFile) -> None:
    names = [info.filename for info in archive.infolist()]
    if sorted(names) != sorted(FILE_NAMES):
        _reject(f"an exported model holds {', '.join(sorted(FILE_NAMES))} and nothing else")
    for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            _reject("its files must be stored as they are, not compressed")
        if info.flag_bits & 1:
            _reject("its files must not be encrypted")
        if info.filename != WEIGHTS and info.file_size > MAX_JSON_BYTES:
            _reject(f"{info.filename} may have {MAX_JSON_BYTES} bytes")


def _extract(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    with archive.open(name) as source, path.open("wb") as out:
        shutil.copyfileobj(source, out, MIB)


def _hash_of(archive: zipfile.ZipFile, name: str) -> FileHash:
    with archive.open(name) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    return FileHash(bytes=archive.getinfo(name).file_size, sha256=sha256)


def _read_json(archive: zipfile.ZipFile, name: str) -> Any:
    return strict_json.loads(archive.read(name))


def _parse(schema: type[Body], value: Any, name: str) -> Body:
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])[:100]
        raise _import_error(
            f"{name} is not as this service writes it, at {where or 'its top'}"
        ) from error


def _check_labels(encoder: ModelManifest) -> None:
    names = [label.name for label in encoder.labels]
    if len(set(names)) != len(names):
        _reject("a label stands twice in model.json")


def _check_images(encoder: ModelManifest, found: dict[str, Any]) -> None:
    if encoder.image != found["image"]:
        _reject("the weights draw images of another size")
    if max(1, len(encoder.labels)) != found["classes"]:
        _reject("the weights know another number of labels")


def _check_rows(encoder: ModelManifest, found: dict[str, Any]) -> None:
    columns = encoder.columns or []
    if {c.name: str(ARROW_TYPES[c.type]) for c in columns} != found["columns"]:
        _reject("the weights draw other columns")
    if encoder.target_column != found["target_column"]:
        _reject("the weights have another label")
    for column in columns:
        try:  # how its values are written
            value = pa.array([0], pa.int64()).cast(ARROW_TYPES[column.type])
            format_values(value, column.column).to_pylist()
            to_json_values(value, column.column)
        except (pa.ArrowException, ValueError) as error:
            raise _import_error("a column's format in model.json cannot be written") from error


def _reject(message: str) -> NoReturn:
    raise _import_error(message)


def _import_error(message: str) -> ValidationFailed:
    return ValidationFailed(f"this model cannot be imported: {message}", code="import_rejected")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode()


def _hash(data: bytes) -> FileHash:
    return FileHash(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
