"""Uploads and downloads of files, which go on after a break, also in another process."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from semblance._async.operations import AsyncOperations
from semblance.configuration import state_folder
from semblance.errors import APIError, ChecksumError, ContentChangedError
from semblance.files import sha256_of
from semblance.retries import RETRYABLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from semblance import types
    from semblance.downloads import Download

# Larger files are uploaded in parts: all that a lost connection costs is one part.
MULTIPART_BYTES = 8 * 1024 * 1024
PART_BYTES = 8 * 1024 * 1024


class AsyncTransfers(AsyncOperations):
    """Operations on whole files."""

    async def upload_file(self, file: str | Path) -> str:
        """Upload a file in parts, for `create_dataset`, and return the id of the upload.

        A file whose upload was interrupted, by this process or another one of the same user, is
        not uploaded from the beginning: parts that the service has are skipped.

        Raises:
            APIError: The file is too large.
        """
        path = Path(file)
        sha256 = sha256_of(path)
        record = self._upload_record(path.name, sha256)
        upload = await self._find_upload(record)
        if upload is None:
            size = path.stat().st_size
            upload = await self.create_upload(
                {"filename": path.name, "bytes": size, "sha256": sha256}
            )
            record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            record.write_text(json.dumps({"upload": upload["id"]}))
        if upload["state"] == "pending":
            await self._send_missing_parts(path, upload)
            await self._complete(upload["id"])
        return upload["id"]

    async def create_dataset_of_uploads(
        self, files: list[Path], uploads: list[str], meta: Any
    ) -> types.DatasetView:
        body = cast("types.DatasetFrom", {"uploads": uploads, **meta})
        dataset = await self.create_dataset(body)
        for file in files:  # the uploads are a dataset now, and cannot be used again
            self._upload_record(file.name, sha256_of(file)).unlink(missing_ok=True)
        return dataset

    def _upload_record(self, name: str, sha256: str) -> Path:
        identity = hashlib.sha256(json.dumps([self.url, name, sha256]).encode()).hexdigest()
        return state_folder() / "uploads" / f"{identity[:32]}.json"

    async def _find_upload(self, record: Path) -> types.UploadView | None:
        """Return the unfinished upload that was recorded, if the service still has it."""
        try:
            return await self.read_upload(json.loads(record.read_text())["upload"])
        except (FileNotFoundError, ValueError, KeyError):
            return None
        except APIError as error:
            if error.status != 404:
                raise
            return None

    async def _send_missing_parts(self, path: Path, upload: types.UploadView) -> None:
        received = {part["number"]: part["sha256"] for part in upload["parts"]}
        with path.open("rb") as source:
            number = 1
            while part := source.read(PART_BYTES):
                digest = hashlib.sha256(part)
                if received.get(number) != digest.hexdigest():
                    value = f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
                    await self.put_part(upload["id"], number, part, content_digest=value)
                number += 1

    async def _complete(self, upload_id: str) -> None:
        try:
            await self.complete_upload(upload_id)
        except APIError as error:
            # If the response to an earlier try was lost, the upload is complete already.
            if error.code != "upload_not_pending":
                raise
            if (await self.read_upload(upload_id))["state"] != "completed":
                raise

    async def stream(self, download: Download) -> AsyncIterator[bytes]:
        """Yield the bytes of a download; see `AsyncTransport.stream`."""
        async for chunk in self._transport.stream(download):
            yield chunk

    async def save(self, download: Download, path: Path, *, sha256: str | None = None) -> None:
        """Write a download to a file, which exists only once it is complete.

        A part that another process has left is completed if its content has a tag: `sha256`, with
        which the file is also verified, or the ETag of a service that supports ranges.

        Raises:
            ChecksumError: The file differs from `sha256`.
        """
        part, tag = (path.with_name(path.name + suffix) for suffix in (".part", ".part.etag"))
        etag = f'"{sha256}"' if sha256 is not None else _read_if_exists(tag)
        is_resumed = etag is not None and part.exists()
        if is_resumed:
            with part.open("rb") as file:
                download.digest = hashlib.file_digest(file, "sha256")
            download.received, download.etag = part.stat().st_size, etag
        try:
            if not (is_resumed and download.digest.hexdigest() == sha256):
                with part.open("ab" if is_resumed else "wb") as out:
                    async for chunk in self.stream(download):
                        if sha256 is None and download.etag not in (None, etag):
                            etag = download.etag
                            tag.write_text(etag)
                        out.write(chunk)
                        out.flush()
            if sha256 is not None and download.digest.hexdigest() != sha256:
                raise ChecksumError(
                    f"The checksum of {path.name} does not match the service's. Download it again."
                )
        except (APIError, ChecksumError, ContentChangedError) as error:
            if not (isinstance(error, APIError) and error.status in RETRYABLE):
                part.unlink(missing_ok=True)  # it is not the beginning of this content
                tag.unlink(missing_ok=True)
            raise
        part.replace(path)
        tag.unlink(missing_ok=True)


def _read_if_exists(path: Path) -> str | None:
    return path.read_text() if path.exists() else None
