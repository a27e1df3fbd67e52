"""What is wrong with an upload, in words that name the file and say what to do."""

import unicodedata

from core.errors import Fault, UnreadableDataset

MOST = 20  # faults in one answer
SHOWN_CHARS = 100  # of a customer's text


def shown(name: str) -> str:
    """`name` fit for a message: printable and short."""
    text = "".join(
        f"\\x{ord(c):02x}" if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else c
        for c in name[: SHOWN_CHARS + 1]
    )
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"


def pointer_to(name: str) -> str:
    """The place of a file or of an archive's entry; its own slashes stay, for they are levels."""
    return f"/file/{shown(name).replace('~', '~0')}"


def unreadable(code: str, message: str, *, pointer: str = "/file") -> UnreadableDataset:
    """One thing wrong at one place."""
    return UnreadableDataset(message, code=code, faults=[Fault(pointer, code, message)])


class Faults:
    """Several files that are wrong; the first MOST of them are kept."""

    def __init__(self) -> None:
        self.kept: list[Fault] = []
        self.count = 0

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def full(self) -> bool:
        return len(self.kept) == MOST

    def add(self, name: str, code: str, message: str) -> None:
        self.count += 1
        if not self.full:
            self.kept.append(Fault(pointer_to(name), code, f"{shown(name)}: {message}"))

    def error(self, what: str) -> UnreadableDataset:
        """`what` is plural and unfinished: "images cannot be used"."""
        codes = {fault.code for fault in self.kept}
        code = codes.pop() if len(codes) == 1 else "image_unreadable"
        number = f"at least {self.count}" if self.full else str(self.count)
        detail = f"{number} {what}: {self.kept[0].message}"
        return UnreadableDataset(detail, code=code, faults=self.kept)
