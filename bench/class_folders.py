"""Converter of class folders to the npz files of the benchmarks.

Run `python -m bench.class_folders FOLDER OUT.npz --size 64`. Photographs are cropped to squares
around their center. Images in a folder `test` or `validation` become the test split; without such a
folder, every fifth image of each class does.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from modalities.image.upload.resize import resize_image

SUFFIXES = (".png", ".jpg", ".jpeg")
TEST_FOLDERS = ("test", "validation")


def read_folders(folder: Path, side: int) -> dict[str, np.ndarray]:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    names = sorted({file.parent.name for file in files})
    has_test = any(is_test(file, folder) for file in files)
    images: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    for label, name in enumerate(names):
        for i, file in enumerate(file for file in files if file.parent.name == name):
            test = is_test(file, folder) if has_test else i % 5 == 4
            split = "test" if test else "train"
            with Image.open(file) as image:
                image.draft("RGB", (side * 2, side * 2))
                images[split].append(
                    np.asarray(resize_image(image.convert("RGB"), (side, side), "crop"))
                )
            labels[split].append(label)
    return {f"x_{split}": np.stack(images[split]) for split in images} | {
        f"y_{split}": np.array(labels[split]) for split in labels
    }


def is_test(file: Path, folder: Path) -> bool:
    return any(part in TEST_FOLDERS for part in file.relative_to(folder).parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, required=True, help="Pixels per side.")
    arguments = parser.parse_args()
    arrays = read_folders(arguments.folder, arguments.size)
    np.savez(arguments.out, **arrays)  # type: ignore[arg-type]
    print({name: array.shape for name, array in arrays.items()})


if __name__ == "__main__":
    main()
