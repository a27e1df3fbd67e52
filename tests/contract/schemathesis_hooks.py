"""Contents of the media types that schemathesis does not know."""

import io
import zipfile

import schemathesis
from hypothesis import strategies as st


def _archive(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("manifest.json", content)
    return out.getvalue()


schemathesis.openapi.media_type(
    "application/zip", st.one_of(st.binary(max_size=64), st.binary(max_size=64).map(_archive))
)
