"""What is wrong with an upload, in words that name the file and say what to do."""

import unicodedata

from core.errors import DatasetUnreadable, FieldError

MAX_ERRORS = 20  # faults in one answer
MAX_SHOWN_CHARS = 100  # of a customer's text


def printable(name: str) -> str:
    """`name` fit for a message: printable and short."""
    text = "".join(
        f"\\x{ord(c):02x}" if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else c
        for c in name[: MAX_SHOWN_CHARS + 1]
    )
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[: MAX_SHOWN_CHARS - 1]}…"


def file_pointer(name: str) -> str:
    """The place of a file or of an archive's entry; its own slashes stay, for they are levels."""
    return f"/file/{printable(name).replace('~', '~0')}"


def unreadable_error(code: str, message: str, *, pointer: str = "/file") -> DatasetUnreadable:
    """One thing wrong at one place."""
    return DatasetUnreadable(message, code=code, field_errors=[FieldError(pointer, code, message)])


class ErrorCollector:
    """Several files that are wrong; the first MOST of them are kept."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self.count = 0

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def is_full(self) -> bool:
        return len(self.errors) == MAX_ERRORS

    def add(self, name: str, code: str, message: str) -> None:
        self.count += 1
        if not self.is_full:
            self.errors.append(
                FieldError(file_pointer(name), code, f"{printable(name)}: {message}")
            )

    def to_error(self, problem: str) -> DatasetUnreadable:
        """`what` is plural and unfinished: "images cannot be used"."""
        codes = {fault.code for fault in self.errors}
        code = codes.pop() if len(codes) == 1 else "image_unreadable"
        number = f"at least {self.count}" if self.is_full else str(self.count)
        detail = f"{number} {problem}: {self.errors[0].message}"
        return DatasetUnreadable(detail, code=code, field_errors=self.errors)
