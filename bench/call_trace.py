"""Functions of this project that a piece of work calls, and how deep the calls are nested.

Calls of other libraries do not count, nor do comprehensions and generated methods.
"""

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

PACKAGES = ("app", "core", "job_kinds", "modalities", "models", "semblance", "worker")
COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")


@dataclass
class Trace:
    """The functions of our packages that were called, in any thread."""

    functions: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    deepest: tuple[str, ...] = ()  # the stack of the deepest call, outermost function first

    @property
    def depth(self) -> int:
        return len(self.deepest)

    def record(self, frame: FrameType, event: str, _: Any) -> None:
        """Record a call; this is a profile function (see sys.setprofile)."""
        if event != "call" or not is_own(frame):
            return
        stack = own_stack(frame)
        self.functions.add(stack[-1])
        self.files.add(frame.f_code.co_filename)
        if len(stack) > self.depth:
            self.deepest = stack

    def start(self) -> None:
        """Start to record the calls of this thread, and of threads that start from now on."""
        threading.setprofile(self.record)
        sys.setprofile(self.record)

    def stop(self) -> None:
        sys.setprofile(None)
        threading.setprofile(None)


def trace(work: Callable[[], object]) -> Trace:
    """Call `work` and return the calls that it takes, including those of the threads it starts."""
    calls = Trace()
    calls.start()
    try:
        work()
    finally:
        calls.stop()
    return calls


def is_own(frame: FrameType) -> bool:
    package, code = frame.f_globals.get("__name__", "").split(".")[0], frame.f_code
    is_generated = code.co_filename == "<string>"  # methods of dataclasses
    return package in PACKAGES and code.co_name not in COMPREHENSIONS and not is_generated


def own_stack(frame: FrameType | None) -> tuple[str, ...]:
    names = []
    while frame is not None:
        if is_own(frame):
            names.append(f"{frame.f_globals['__name__']}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return tuple(reversed(names))
