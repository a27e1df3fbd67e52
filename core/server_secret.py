"""Signatures by the server: HMAC-SHA-256 with a secret that is not in the database.

Who reads the database, or a backup of it, cannot forge signed URLs or sample manifests. The secret
is a setting, or a file in the data folder that is created on first use.
"""

import hmac
import os
import secrets
from functools import lru_cache
from pathlib import Path

from core.settings import get_settings

FILE = "signing.key"


def sign(text: str) -> str:
    """Return the signature of `text` in hexadecimal."""
    return hmac.digest(_secret().encode(), text.encode(), "sha256").hex()


def is_signature(text: str, signature: str) -> bool:
    """Return True if `sign` has returned `signature` for `text`."""
    return hmac.compare_digest(sign(text), signature)


def _secret() -> str:
    settings = get_settings()
    return settings.signing_secret.get_secret_value() or _stored(settings.data_dir / FILE)


@lru_cache(8)
def _stored(path: Path) -> str:
    """Return the secret in the file. Processes that create it at the same time agree on one."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as output:
            output.write(secrets.token_urlsafe(32) + "\n")
        try:
            os.link(new, path)
        except FileExistsError:
            pass  # another process was faster
        finally:
            new.unlink()
    return path.read_text().strip()
