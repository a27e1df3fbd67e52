"""Entry point of the API server: `python -m app`.

With `--sampler`, the process serves only the sampling routes.
"""

import sys

import uvicorn

from app.http_protocol import BoundedHttpProtocol, allowed_connections
from app.shutdown import DrainingServer
from core.logging_config import configure
from core.settings import get_settings


def main() -> None:
    configure()
    settings = get_settings()
    factory = "create_sampler_app" if "--sampler" in sys.argv[1:] else "create_app"
    BoundedHttpProtocol.max_connections = allowed_connections(settings.max_connections)
    BoundedHttpProtocol.max_connections_per_address = settings.max_connections_per_address
    BoundedHttpProtocol.proxies = settings.trusted_proxies
    config = uvicorn.Config(
        f"app.main:{factory}",
        factory=True,
        host=settings.host,
        port=settings.port,
        http=BoundedHttpProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=settings.request_grace_seconds,
    )
    DrainingServer(config, settings.drain_delay_seconds).run()


main()
