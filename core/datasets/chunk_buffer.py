"""Between a writer that wants a file and a response that wants pieces."""

import io


class ChunkBuffer(io.RawIOBase):
    """Collects what a writer writes, to be handed on piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        piece = bytes(data)
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def drain(self) -> bytes:
        pieces, self._pieces = b"".join(self._pieces), []
        return pieces
