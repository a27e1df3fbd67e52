"""Progress of a job on standard error: a bar and a curve in a terminal, lines elsewhere."""

import sys
from types import TracebackType
from typing import Any, Self

from semblance._sync.client import Client
from semblance.command.output import print_note, shorten, terminal_width
from semblance.command.pictures import print_picture
from semblance.errors import APIError

BARS = "▁▂▃▄▅▆▇█"
# The curve is of the first of these metrics that the job records.
CURVES = ("holdout_loss", "frechet_distance", "generator_loss", "critic_loss")
MAX_BAR, MAX_CURVE = 30, 60
CLEAR_LINE, LINE_UP = "\x1b[2K", "\x1b[1A"
CURVE_EVERY = 4  # polls


def watch(client: Client, job_id: str, *, goes_on: bool = True) -> Any:
    """Show the job's progress until it has ended, and return it.

    With `goes_on`, Ctrl-C leaves the job running, and a note says how to show or end it.

    Raises:
        JobFailedError: The job failed or was cancelled.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    with LiveProgress(client) if sys.stderr.isatty() else PlainProgress() as progress:
        try:
            job = client.wait(job_id, on_change=progress.show)
        except KeyboardInterrupt:
            progress.close()
            if goes_on:
                print_note(
                    f"The job goes on. Show it again: semblance watch {job_id}\n"
                    f"End it: semblance cancel {job_id}"
                )
            raise
    if sys.stderr.isatty():
        print_picture(client, job)
    return job


def describe(job: Any) -> str:
    """Return one line about a job: name, phase, percentage, remaining time."""
    progress = job["progress"]
    parts = [f"{job['name']}: {job['phase'] or job['state']}"]
    if job["state"] == "queued" and job["queue"]["reason"]:
        parts.append(job["queue"]["reason"])
    if progress["percent"] is not None:
        parts.append(f"{progress['percent']:.0f} %")
    if progress["eta_s"]:
        parts.append(f"{progress['eta_s']:.0f} s left")
    return ", ".join(parts)


class PlainProgress:
    """A line for each change of state or phase, and for each tenth."""

    def __init__(self) -> None:
        self._last: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def show(self, job: Any) -> None:
        state = (job["state"], job["phase"], int((job["progress"]["percent"] or 0) // 10))
        if state != self._last:
            self._last = state
            print_note(describe(job))

    def close(self) -> None:
        pass


class LiveProgress(PlainProgress):
    """A bar and a curve that are drawn again in the same lines."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client
        self._lines = 0
        self._polls = 0
        self._curve = ""

    def show(self, job: Any) -> None:
        width = terminal_width() - 1
        if job["kind"] == "training" and self._polls % CURVE_EVERY == 0:
            self._curve = self._read_curve(job["id"], width)
        self._polls += 1
        lines = [shorten(describe(job), width)]
        percent = job["progress"]["percent"]
        if percent is not None:
            size = min(MAX_BAR, width)
            filled = round(size * percent / 100)
            lines.append("━" * filled + "╌" * (size - filled))
        lines += [self._curve] if self._curve else []
        self._clear()
        sys.stderr.write("".join(line + "\n" for line in lines))
        sys.stderr.flush()
        self._lines = len(lines)

    def close(self) -> None:
        self._lines = 0

    def _clear(self) -> None:
        sys.stderr.write((LINE_UP + CLEAR_LINE) * self._lines + "\r")

    def _read_curve(self, job_id: str, width: int) -> str:
        try:
            metrics = self._client.read_metrics(job_id, points=MAX_CURVE)
        except APIError:
            return self._curve
        name = next((name for name in CURVES if name in metrics), None)
        if name is None:
            return ""
        values = metrics[name]["values"]
        text = f" {name} {values[-1]:.3g}"
        return shorten(sparkline(values, min(MAX_CURVE, width - len(text))) + text, width)


def sparkline(values: list[float], width: int) -> str:
    """Return the last values as bars of eight heights."""
    shown = values[-max(width, 1) :]
    low, high = min(shown), max(shown)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in shown)
