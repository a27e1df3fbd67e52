"""Errors of uploaded files. Messages name the file and say what to do."""

import unicodedata

from core.errors import DatasetUnreadable, FieldError

MAX_ERRORS = 20  # field errors in one response
MAX_SHOWN_CHARS = 100  # of a name or value from a customer's file


def printable(name: str) -> str:
    """Return `name` with control characters escaped, shortened to MAX_SHOWN_CHARS."""
    text = "".join(
        f"\\x{ord(c):02x}" if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else c
        for c in name[: MAX_SHOWN_CHARS + 1]
    )
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[: MAX_SHOWN_CHARS - 1]}…"


def file_pointer(name: str) -> str:
    """Return the pointer to a file or archive entry.

    Slashes in `name` are not escaped as `~1`, because they are levels of the pointer.
    """
    return f"/file/{printable(name).replace('~', '~0')}"


def unreadable_error(code: str, message: str, *, pointer: str = "/file") -> DatasetUnreadable:
    """Create a DatasetUnreadable with a single field error."""
    return DatasetUnreadable.of_field(pointer, code, message, code=code)


class ErrorCollector:
    """Errors of several files. Counts all of them and keeps the first MAX_ERRORS."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self.count = 0

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def is_full(self) -> bool:
        return len(self.errors) == MAX_ERRORS

    def add(self, name: str, code: str, message: str) -> None:
        """Add an error of the file `name`.

        `message` is a predicate without a period; the name is its subject: "is empty".
        """
        self.count += 1
        if not self.is_full:
            self.errors.append(
                FieldError(file_pointer(name), code, f"{printable(name)} {message}.")
            )

    def to_error(self, problem: str) -> DatasetUnreadable:
        """Summarize the errors. `problem` follows the count: "images cannot be used"."""
        codes = {error.code for error in self.errors}
        code = codes.pop() if len(codes) == 1 else "image_unreadable"
        number = f"At least {self.count}" if self.is_full else str(self.count)
        detail = f"{number} {problem}: {self.errors[0].message}"
        return DatasetUnreadable(detail, code=code, field_errors=self.errors)
