"""Recognition of annotations of objects in images: boxes, polygons and masks.

They are not labels of images and are not read; the client is informed.
"""

import json
import posixpath
from collections.abc import Sequence
from itertools import chain
from typing import Any

from core.datasets.data_quality import Issue, Severity
from modalities.image.upload.archive import Archive, read_up_to
from modalities.image.upload.image_names import key_of
from modalities.image.upload.labels.sidecar_labels import is_box_list

_MAX_BYTES = 64 * 1024
_MAX_READ = 20  # files, per kind
_VOC_TAGS = (b"<bndbox", b"<object", b"<polygon")
_BOX_KEYS = frozenset({"bbox", "segmentation", "coordinates", "shapes", "boxes", "keypoints"})


def describe_boxes(document: Any) -> str | None:
    """Return the name of the format if a JSON document holds boxes of objects."""
    if isinstance(document, dict):
        if "images" in document and "annotations" in document:
            annotations = document["annotations"]
            is_classification = (
                isinstance(annotations, list)
                and bool(annotations)
                and isinstance(annotations[0], dict)
                and _BOX_KEYS.isdisjoint(annotations[0])
            )
            return None if is_classification else "COCO"
        if "shapes" in document:
            return "LabelMe"
        if any(str(key).startswith("_via") for key in document):
            return "VIA"
    if isinstance(document, list) and document and isinstance(document[0], dict):
        annotations = document[0].get("annotations")
        if isinstance(annotations, list) and annotations and isinstance(annotations[0], dict):
            return "CreateML" if _BOX_KEYS & set(annotations[0]) else None
        if _BOX_KEYS & set(document[0]):
            return "JSON"
    return None


def parse_json(content: bytes) -> Any:
    try:
        return json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def find_box_files(
    archive: Archive, images: Sequence[str], others: Sequence[int]
) -> dict[str, str]:
    """Return one example per format of files with the boxes of one image each: VOC or YOLO.

    `others` are the indices of the files that are not images.
    """
    stems = {key_of(name.rpartition("/")[2]) for name in images}
    candidates: dict[str, list[int]] = {".xml": [], ".txt": [], ".json": []}
    for i in others:
        name = archive.names[i]
        suffix = posixpath.splitext(name)[1].lower()
        if suffix in candidates and len(candidates[suffix]) < _MAX_READ:
            last = name.rpartition("/")[2].casefold()
            if last.removesuffix(suffix) in stems:
                candidates[suffix].append(i)
    examples: dict[str, str] = {}
    for i, reader in archive.open_members(sorted(chain.from_iterable(candidates.values()))):
        name, content = archive.names[i], read_up_to(reader, _MAX_BYTES)
        if kind := _kind_of_box_file(name, content):
            examples.setdefault(kind, name)
    return examples


def _kind_of_box_file(name: str, content: bytes) -> str | None:
    suffix = posixpath.splitext(name)[1].lower()
    if suffix == ".xml":
        return "Pascal VOC" if any(tag in content for tag in _VOC_TAGS) else None
    if suffix == ".txt":
        return "YOLO" if is_box_list(content.decode("utf-8", errors="replace")) else None
    return describe_boxes(parse_json(content))


def boxes_issue(examples: dict[str, str], *, has_labels: bool) -> Issue | None:
    """Report annotations that were not read. `examples` is one file name per format."""
    if not examples:
        return None
    kinds = ", ".join(examples)
    hint = (
        f"Annotations of objects in images ({kinds}) were not read: a box or a mask is not a label "
        "of an image. "
    )
    hint += (
        "The labels are from elsewhere in the archive."
        if has_labels
        else "The dataset has no labels. To have some, put the images into one folder per label, "
        "or add a labels.csv with the columns path and label."
    )
    severity: Severity = "info" if has_labels else "error"
    return Issue("annotations_not_read", severity, len(examples), tuple(examples.values()), hint)
