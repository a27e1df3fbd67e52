"""Preview images of a training job in the terminal, two pixels in each character."""

import io
from typing import Any

from semblance._sync.client import Client
from semblance.command.output import has_color, print_note, terminal_width
from semblance.errors import APIError

MAX_ROWS = 24  # lines of text
RESET = "\x1b[0m"


def print_picture(client: Client, job: Any) -> None:
    """Show the newest preview of a job of images, if Pillow is installed and there is color."""
    if job["kind"] != "training" or not has_color():
        return
    try:
        from PIL import Image
    except ImportError:
        return
    try:
        previews = client.list_previews(job["id"])
        if not previews:
            return
        picture = client.read_job_preview(job["id"], previews[-1]["step"])
    except APIError:
        return
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    scale = min(1.0, (terminal_width() - 1) / image.width, 2 * MAX_ROWS / image.height)
    size = (max(1, round(image.width * scale)), max(2, round(image.height * scale) // 2 * 2))
    print_note(render(image.resize(size)))


def render(image: Any) -> str:
    """Return an RGB image with an even number of rows as colored half blocks."""
    pixels, lines = image.load(), []
    for y in range(0, image.height, 2):
        cells = [
            "\x1b[38;2;{};{};{}m\x1b[48;2;{};{};{}m▀".format(*pixels[x, y], *pixels[x, y + 1])
            for x in range(image.width)
        ]
        lines.append("".join(cells) + RESET)
    return "\n".join(lines)
