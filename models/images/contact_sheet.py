"""Contact sheets: pictures of many images for the eye, with captions.

Small images are enlarged by a whole factor, without smoothing, so that each pixel stays visible.
This module does not import torch.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.images.captions import CAPTION_HEIGHT, render_caption

Pixels = NDArray[np.uint8]

TARGET_WIDTH = 800  # pixels of a sheet without its captions, where the images allow it
MIN_CELL_SIDE, MAX_CELL_SIDE = 32, 96  # range in which small images are enlarged
MAX_CAPTION_WIDTH = 200
MAX_STACKS, MAX_ASPECT_RATIO = 8, 2.5  # of height to width
MAX_GRID_COLUMNS = 16  # of images with labels
_GAP, _STACK_GAP = 4, 16
_BACKGROUND, _TEXT_COLOR = 255, 32


class Section(NamedTuple):
    """Images (N, H, W) or (N, H, W, 3) that share a caption; it may be empty."""

    caption: str
    images: Pixels


class _Layout(NamedTuple):
    """Sections in stacks that are side by side, with the top of each section in its stack."""

    positions: list[tuple[int, int]]  # stack and row of each section
    cell_height: int
    cell_width: int
    stack_width: int
    caption_width: int
    width: int
    height: int

    def corner(self, section: int, index: int, columns: int) -> tuple[int, int]:
        """Return the left and top of an image of a section."""
        stack, row = self.positions[section]
        left = _GAP + stack * self.stack_width + self.caption_width
        top = _GAP + (row + index // columns) * (self.cell_height + _GAP)
        return left + index % columns * (self.cell_width + _GAP), top


def draw_grid(images: Pixels, labels: NDArray[np.int64], names: Sequence[str]) -> Pixels:
    """Draw images grouped by label, in the order of `names`, or in a square if there are none."""
    if names:
        sections = [Section(names[label], images[labels == label]) for label in np.unique(labels)]
        longest = max(len(section.images) for section in sections)
        return draw_sheet(sections, min(longest, MAX_GRID_COLUMNS))
    return draw_sheet([Section("", images)], math.ceil(math.sqrt(len(images))))


def draw_sheet(sections: Sequence[Section], columns: int, *, max_side: int | None = None) -> Pixels:
    """Draw the images of each section in rows of `columns`, with the caption on the left.

    Each section starts a new row. Many sections are arranged in several stacks side by side. Images
    with a side above `max_side` are reduced by a whole factor.
    """
    captions = [render_caption(caption, MAX_CAPTION_WIDTH) for caption, _ in sections]
    caption_width = max((mask.width + 3 * _GAP for mask in captions if mask.width > 1), default=0)
    height, width = sections[0].images.shape[1:3]
    reduction = 1 if max_side is None else -(-max(height, width) // max_side)
    size = -(-height // reduction), -(-width // reduction)
    layout = _arrange([len(images) for _, images in sections], columns, size, caption_width)
    mode = "RGB" if sections[0].images.ndim == 4 else "L"
    sheet = Image.new(mode, (layout.width, layout.height), (_BACKGROUND,) * len(mode))
    for number, (mask, section) in enumerate(zip(captions, sections, strict=True)):
        for index, pixels in enumerate(section.images):
            image = Image.fromarray(pixels)
            image = image.reduce(reduction) if reduction > 1 else image
            cell = image.resize((layout.cell_width, layout.cell_height), Image.Resampling.NEAREST)
            sheet.paste(cell, layout.corner(number, index, columns))
        left, top = layout.corner(number, 0, columns)
        middle = top + (max(layout.cell_height, CAPTION_HEIGHT) - CAPTION_HEIGHT) // 2
        sheet.paste((_TEXT_COLOR,) * len(mode), (left - layout.caption_width + _GAP, middle), mask)
    return np.asarray(sheet)


def enlarge(image: Pixels, side: int) -> Pixels:
    """Enlarge an image by the largest whole factor for which its sides are at most `side`."""
    factor = max(1, side // max(image.shape[:2]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _arrange(
    lengths: Sequence[int], columns: int, size: tuple[int, int], caption_width: int
) -> _Layout:
    """Choose the smallest number of stacks for which the sheet is not much higher than wide."""
    for stacks in range(1, min(len(lengths), MAX_STACKS) + 1):
        layout = _arrange_in_stacks(lengths, columns, size, caption_width, stacks)
        if layout.height <= MAX_ASPECT_RATIO * layout.width:
            break
    return layout


def _arrange_in_stacks(
    lengths: Sequence[int], columns: int, size: tuple[int, int], caption_width: int, stacks: int
) -> _Layout:
    target = min(max(TARGET_WIDTH // (columns * stacks), MIN_CELL_SIDE), MAX_CELL_SIDE)
    factor = max(1, target // max(size))
    cell_height, cell_width = size[0] * factor, size[1] * factor
    rows = [-(-length // columns) for length in lengths]
    positions = _fill_stacks(rows, -(-sum(rows) // stacks))
    stack_height = max(top + count for (_, top), count in zip(positions, rows, strict=True))
    stack_width = caption_width + columns * (cell_width + _GAP) + _STACK_GAP
    return _Layout(
        positions,
        cell_height,
        cell_width,
        stack_width,
        caption_width,
        width=(positions[-1][0] + 1) * stack_width - _STACK_GAP + _GAP,
        height=stack_height * (cell_height + _GAP) + _GAP,
    )


def _fill_stacks(rows: Sequence[int], stack_rows: int) -> list[tuple[int, int]]:
    """Return the stack and the first row of each section; no section is split."""
    positions, stack, top = [], 0, 0
    for count in rows:
        if top and top + count > stack_rows:
            stack, top = stack + 1, 0
        positions.append((stack, top))
        top += count
    return positions
