"""Search for the image that a table or a document means by a path, a file name or an id."""

import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence
from urllib.parse import unquote, urlsplit

import numpy as np

from modalities.image.upload.labels.split_names import role_of_name

_END = -1
_LAST_DIGITS = re.compile(r"(?<=\D)\d{3,}$")  # shorter ones are also numbers of labels
_COMPARED_LEVELS = 3


def key_of(path: str) -> str:
    """Return the path without its suffix, with "/" between levels, in lower case."""
    if "://" in path:
        path = unquote(urlsplit(path).path)
    normalized = unicodedata.normalize("NFC", path).strip().replace("\\", "/").casefold()
    return _without_suffix(posixpath.normpath(normalized).lstrip("/") if normalized else "")


def _without_suffix(path: str) -> str:
    stem, suffix = posixpath.splitext(path)
    # `a.b` may be an id with a dot; a suffix of an image has letters and is short.
    return stem if suffix[1:].isalnum() and 2 < len(suffix) <= 6 and suffix[1].isalpha() else path


def _folders_of(key: str) -> list[str]:
    """Return the folders of a path, the innermost first."""
    return key.split("/")[-2::-1]


class ImageNames:
    """Index of the images of an archive by the last level of their paths.

    Case, suffixes and leading folders that are not in the archive are ignored: `./IMG/A.JPG` and
    the id `a` both mean `data/img/a.jpg`, unless several images fit equally well.
    """

    def __init__(self, names: Sequence[str], skipped: Sequence[bool] | None = None) -> None:
        """Index all `names` except those that are `skipped`, such as masks."""
        self._names = names
        # Folders of images by their distance from the image: its own folder first.
        self._levels: list[set[str]] = [set() for _ in range(_COMPARED_LEVELS)]
        self._exact: dict[str, int] = {}
        self._first: dict[str, int] = {}  # by the last level of the key
        self._next = np.full(len(names), _END, np.int32)  # images with the same last level
        self._padded: dict[str, str] = {}  # last levels such as "007" by their number
        self._ends: dict[str, set[str]] = {}  # last levels by the digits at their end
        for i, name in enumerate(names):
            if skipped is not None and skipped[i]:
                continue
            self._exact[name] = i
            for known, level in zip(self._levels, _folders_of(key_of(name)), strict=False):
                known.add(level)
            last = key_of(name.rpartition("/")[2])
            self._next[i] = self._first.get(last, _END)
            self._first[last] = i
            if last.isdecimal() and last.startswith("0"):
                self._padded[last.lstrip("0") or "0"] = last
            elif digits := _LAST_DIGITS.search(last):
                self._ends.setdefault(digits[0], set()).add(last)

    def __len__(self) -> int:
        return len(self._names)

    def find(self, path: str, document: str) -> int | None:
        """Return the index of the image that `document` calls `path`, None if it is not clear."""
        plain = unicodedata.normalize("NFC", path).replace("\\", "/").removeprefix("./")
        folder = document.rpartition("/")[0]
        for candidate in (f"{folder}/{plain}", plain):
            if (index := self._exact.get(candidate)) is not None:
                return index
        key = key_of(path)
        last = key.rpartition("/")[2]
        matches = list(self._with_last_level(last if last in self._first else self._pad(last)))
        for distance, level in enumerate(_folders_of(key)[:_COMPARED_LEVELS]):
            if level in self._levels[distance]:
                # `cats/1.png` is not the image `dogs/1.png`, whose file has the same name.
                matches = [i for i in matches if self._is_below(i, level, distance)]
        if len(matches) <= 1:
            return matches[0] if matches else None
        return self._best(matches, key, path, document)

    def _is_below(self, i: int, level: str, distance: int) -> bool:
        return _folders_of(key_of(self._names[i]))[distance : distance + 1] == [level]

    def _pad(self, number: str) -> str:
        """Return the name of the image of an id: `7` is `007.png`, `0007` also `cat-0007.png`."""
        ends = self._ends.get(number, ())
        return next(iter(ends)) if len(ends) == 1 else self._padded.get(number, number)

    def _with_last_level(self, last: str) -> Iterator[int]:
        index = self._first.get(last, _END)
        while index != _END:
            yield index
            index = int(self._next[index])

    def _best(self, matches: Sequence[int], key: str, path: str, document: str) -> int | None:
        """Return the only best of several images.

        The most common levels count first, then the folder and the part of the document, then case.
        """
        folder = document.rpartition("/")[0]
        role = role_of_name(posixpath.splitext(document.rpartition("/")[2])[0])
        suffix = posixpath.splitext(path)[1].lower()
        scores = []
        for i in matches:
            name = self._names[i]
            in_folder = name.startswith(f"{folder}/") if folder else False
            same_role = role is not None and role in {
                role_of_name(level) for level in name.split("/")[:-1]
            }
            same_suffix = not suffix or name.lower().endswith(suffix)
            scores.append(
                (
                    _common_levels(key_of(name), key),
                    in_folder,
                    same_role,
                    same_suffix,
                    name.endswith(path),
                )
            )
        best = max(scores)
        return matches[scores.index(best)] if scores.count(best) == 1 else None


def _common_levels(a: str, b: str) -> int:
    """Return how many of the last levels of two keys are equal."""
    pairs = zip(reversed(a.split("/")), reversed(b.split("/")), strict=False)
    count = 0
    for one, other in pairs:
        if one != other:
            break
        count += 1
    return count
