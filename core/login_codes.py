"""One-time login codes: a browser exchanges one for a temporary API key.

The code travels in a link, and links stay in histories and terminals. The code works once and for a
few minutes only, and the key that it creates expires, so a link in a history is worthless.
Only the SHA-256 digest of a code is stored.
"""

import secrets
from datetime import timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from core import api_keys
from core.database import clock, write
from core.errors import Unauthorized
from core.settings import get_settings
from core.tables import ApiKey, LoginCode

CODE_LIFETIME = timedelta(minutes=15)
KEY_LIFETIME = timedelta(hours=12)


def create_link(base_url: str | None = None) -> str:
    """Create a code for the default tenant; return the address that logs a browser in with it.

    `base_url` is the address of the server. Default: the one in the settings.
    """
    with write() as session:
        code = create(session, api_keys.DEFAULT_TENANT)
    # Browsers do not send the fragment of an address, so the code does not reach any access log.
    return f"{base_url or get_settings().base_url}/#/login?code={code}"


def create(session: Session, tenant_id: str) -> str:
    """Create a code and return it; expired codes are deleted."""
    session.execute(delete(LoginCode).where(LoginCode.expires_at < clock()))
    code = secrets.token_urlsafe(32)
    session.add(
        LoginCode(
            digest=api_keys.digest(code),
            tenant_id=tenant_id,
            expires_at=clock(CODE_LIFETIME.total_seconds()),
        )
    )
    return code


def redeem(session: Session, code: str) -> tuple[str, ApiKey]:
    """Delete the code and create an API key with all scopes; return its text and its row.

    Raises:
        Unauthorized: The code is unknown, has expired or was used before.
    """
    tenant_id = session.scalar(
        delete(LoginCode)
        .where(LoginCode.digest == api_keys.digest(code), LoginCode.expires_at > clock())
        .returning(LoginCode.tenant_id)
    )
    if tenant_id is None:
        raise Unauthorized(
            "The login link was used before or has expired. Restart the server or run "
            "`semblance-server login-link` to get a new one, or log in with an API key.",
            code="login_code_invalid",
        )
    return api_keys.create(
        session, tenant_id, name="dashboard", scopes=api_keys.SCOPES, lifetime=KEY_LIFETIME
    )
