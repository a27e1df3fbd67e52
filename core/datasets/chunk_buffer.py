"""In-memory buffer between a writer that needs a file and a streamed response."""

import io


class ChunkBuffer(io.RawIOBase):
    """Write-only file that buffers bytes until `drain` returns them."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        chunk = bytes(data)
        self._chunks.append(chunk)
        self._position += len(chunk)
        return len(chunk)

    def tell(self) -> int:
        return self._position

    def drain(self) -> bytes:
        """Return and forget the bytes written since the last call."""
        content, self._chunks = b"".join(self._chunks), []
        return content
