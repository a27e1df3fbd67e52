"""Labels in files of their own, next to each image: `0001.cls`, `0001.json` and `0001.txt`.

WebDataset writes tar archives this way, and so does this service.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from core.errors import DatasetUnreadable
from modalities.image.upload.archive import Archive, read_up_to
from modalities.image.upload.labels.label_documents import xml_objects

SUFFIXES = (".cls", ".json", ".xml", ".txt", ".cls.txt", ".label", ".class", ".cls.json")
_NAME_KEYS = ("label", "class", "class_name", "category", "label_name", "target", "cls")
_MAX_BYTES = 64 * 1024
_MIN_SHARE = 0.9  # of the images must have a text for texts to be labels
_BOX_LINE = re.compile(r"\s*\d+(\s+-?[0-9.]+(e-?\d+)?){4,}\s*", re.IGNORECASE)


class Sidecars(NamedTuple):
    """Labels from files next to the images."""

    labels: dict[int, str]  # by index of the image
    has_boxes: bool  # the files hold boxes of objects


def sidecar_key(name: str) -> str:
    """Return the name up to the first dot of its last level, as in WebDataset."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition('.')[0]}"


def find_sidecars(names: Sequence[str], images: Sequence[int]) -> dict[int, int]:
    """Return the index of the image for each file that belongs to one image."""
    image_of = {sidecar_key(names[i]): position for position, i in enumerate(images)}
    is_image = set(images)
    return {
        i: position
        for i, name in enumerate(names)
        if i not in is_image
        and name.lower().endswith(SUFFIXES)
        and (position := image_of.get(sidecar_key(name))) is not None
    }


def read_sidecars(archive: Archive, sidecars: dict[int, int], n_images: int) -> Sidecars:
    """Read the labels. Texts that differ for every image are captions, not labels."""
    by_kind: dict[str, dict[int, str]] = {}
    boxes = 0
    for i, reader in archive.open_members(sorted(sidecars)):
        text = read_up_to(reader, _MAX_BYTES).decode("utf-8", errors="replace").strip()
        boxes += is_box_list(text)
        if label := _label_in(text, archive.names[i]):
            by_kind.setdefault(_kind_of(archive.names[i]), {})[sidecars[i]] = label
    if boxes * 2 > len(sidecars):
        return Sidecars({}, has_boxes=True)
    for kind in ("json", "xml", "cls", "txt"):  # the name of a class says more than its number
        labels = by_kind.get(kind, {})
        if len(labels) < _MIN_SHARE * n_images and kind == "txt":
            continue
        if labels and (kind != "txt" or _repeat(labels.values())):  # captions do not repeat
            return Sidecars(labels, has_boxes=False)
    return Sidecars({}, has_boxes=False)


def _repeat(labels: Iterable[str]) -> bool:
    counts = Counter(labels)
    return len(counts) * 2 <= counts.total()


def is_box_list(text: str) -> bool:
    """Return True for the lines of YOLO: a class number and at least four coordinates each."""
    lines = text.splitlines()
    return bool(lines) and all(_BOX_LINE.fullmatch(line) for line in lines)


def _kind_of(name: str) -> str:
    lower = name.lower()
    if lower.endswith(".xml"):
        return "xml"
    return "json" if lower.endswith(".json") else "txt" if lower.endswith(".txt") else "cls"


def _label_in(text: str, name: str) -> str | None:
    if name.lower().endswith(".xml"):
        return _label_in_xml(text, name)
    if not name.lower().endswith(".json"):
        return text if text and "\n" not in text and len(text) < 256 else None
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _label_among(document if isinstance(document, dict) else {})


def _label_in_xml(text: str, name: str) -> str | None:
    if any(tag in text for tag in ("<bndbox", "<object", "<polygon")):
        return None
    with suppress(DatasetUnreadable):
        for item in xml_objects(text, name):
            if label := _label_among(item):
                return label
    return None


def _label_among(values: Mapping[str, Any]) -> str | None:
    for key in _NAME_KEYS:
        value = values.get(key)
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            return str(value)
    return None
