"""Output for people and for programs: lines, tables, JSON, and notes on standard error."""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

ELLIPSIS = "…"
COLUMN_GAP = 2


def print_note(text: str) -> None:
    """Print something that is not a result: to standard error, unchanged."""
    click.echo(text, err=True, color=has_color())


def print_line(text: str) -> None:
    """Print a result."""
    click.echo(text)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def has_color() -> bool:
    """Return True if standard error is a terminal with color: see https://no-color.org."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stderr.isatty() and not plain


def red(text: str) -> str:
    return click.style(text, fg="red") if has_color() else text


def terminal_width() -> int:
    return shutil.get_terminal_size().columns


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows: aligned in a terminal, separated by tabs and without headers in a pipe."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in cells:
            print_line("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    for line in align([list(headers), *cells], terminal_width()):
        print_line(line)


def align(rows: list[list[str]], width: int) -> list[str]:
    """Return lines of at most `width` characters; the widest columns are shortened to fit."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    while sum(widths) + COLUMN_GAP * (len(widths) - 1) > width and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    gap = " " * COLUMN_GAP
    return [
        gap.join(
            shorten(cell, size).ljust(size) for cell, size in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 1, 0)] + ELLIPSIS
