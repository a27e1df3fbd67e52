"""Labelled images as bytes: PNG, a zip of PNGs with labels.csv, a tar of them (WebDataset), npz,
JSON. All but the single image are streamed: memory stays flat whatever the count, and each ends
with a mark of its own (a zip's directory, JSON's last brace), so that a cut answer cannot pass for
a whole one."""

import base64
import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.datasets.chunk_buffer import ChunkBuffer

Batches = Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """(H, W) or (H, W, 3) to a PNG; level 1 costs half of the default and grows it by 3 %."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG", compress_level=1)
    return out.getvalue()


def encode(
    format: str,
    batches: Batches,
    labels: Sequence[str],
    *,
    count: int,
    image: Mapping[str, int],
    first: int = 0,
) -> Iterator[bytes]:
    """A zip, a tar or an npz of `count` images with the height, width and channels of `image`."""
    if format == "zip":
        return encode_zip(batches, labels, first=first)
    if format == "tar":
        return encode_tar(batches, labels, first=first)
    colour = (3,) if image["channels"] == 3 else ()
    return encode_npz(batches, labels, count, (image["height"], image["width"], *colour))


def label_folder(label: str) -> str:
    """A label as one folder name: what could leave the folder, or hide it, is percent-encoded."""
    name = quote(label, safe=" !#$&'()+,;=@[]^_`{}~" + "".join(c for c in label if ord(c) > 127))
    return "%2E" + name[1:] if name.startswith(".") else name


def encode_zip(batches: Batches, labels: Sequence[str], *, first: int = 0) -> Iterator[bytes]:
    """`<label>/<number>.png` and labels.csv with header `path,label`; stored, as PNG is packed.
    Numbers count from `first`, so that the parts of a set unpack side by side.

    Without labels, `<number>.png` and no labels.csv; a single image without one (index -1) lies
    beside the folders, and labels.csv says nothing of its label.
    """
    pipe, table = ChunkBuffer(), io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["path", "label"])
    number = first
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for indices, images in batches:
            for index, image in zip(indices, images, strict=True):
                path, label = f"{number:07}.png", labels[index] if labels and index >= 0 else ""
                if label:
                    path = f"{label_folder(label)}/{path}"
                rows.writerow([path, label])
                archive.writestr(zipfile.ZipInfo(path), encode_png(image))
                number += 1
            yield pipe.drain()
        if labels:
            archive.writestr(zipfile.ZipInfo("labels.csv"), table.getvalue())
    yield pipe.drain()


def encode_tar(batches: Batches, labels: Sequence[str], *, first: int = 0) -> Iterator[bytes]:
    """As WebDataset reads it: for each image `<number>.png` and, with labels, `<number>.cls`, the
    label's index, and `<number>.json`, its name. Two blocks of zeros end it."""
    pipe, number = ChunkBuffer(), first
    with tarfile.open(fileobj=pipe, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for indices, images in batches:
            for index, image in zip(indices, images, strict=True):
                parts = {"png": encode_png(image)}
                if labels and index >= 0:
                    about = json.dumps({"label": labels[index]}, ensure_ascii=False)
                    parts |= {"cls": b"%d" % index, "json": about.encode()}
                for suffix, data in parts.items():
                    entry = tarfile.TarInfo(f"{number:09}.{suffix}")
                    entry.size = len(data)
                    archive.addfile(entry, io.BytesIO(data))
                number += 1
            yield pipe.drain()
    yield pipe.drain()


def encode_npz(
    batches: Batches, labels: Sequence[str], count: int, shape: tuple[int, ...]
) -> Iterator[bytes]:
    """`x` uint8 (N, H, W[, 3]), `y` int64 index into `labels` (-1: none), and `labels`; numpy reads
    it."""
    pipe = ChunkBuffer()
    indices = np.empty(count, np.int64)
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        with archive.open(zipfile.ZipInfo("x.npy"), "w", force_zip64=True) as x:
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
            np.lib.format.write_array_header_1_0(x, header)
            at = 0
            for batch, images in batches:
                indices[at : at + len(batch)] = batch
                at += len(batch)
                x.write(np.ascontiguousarray(images).data.cast("B"))
                yield pipe.drain()
        for name, array in (("y", indices), ("labels", np.array(labels, dtype=np.str_))):
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    yield pipe.drain()


def encode_json(
    batches: Batches, labels: Sequence[str], head: dict[str, object]
) -> Iterator[bytes]:
    """`{…head, "items": [{"label", "png"}]}`, each PNG in base64."""
    yield (json.dumps(head, ensure_ascii=False)[:-1] + ', "items": [').encode()
    first = True
    for indices, images in batches:
        items = []
        for index, image in zip(indices, images, strict=True):
            label = labels[index] if labels else None
            item = {"label": label, "png": base64.b64encode(encode_png(image)).decode()}
            items.append(json.dumps(item, ensure_ascii=False))
        yield (("" if first else ", ") + ", ".join(items)).encode()
        first = False
    yield b"]}"
