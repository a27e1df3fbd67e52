"""A PgBouncer of a test's own, which lends few connections for single transactions."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from tests.postgres_cluster import USER
from tests.processes import eventually, free_port

COMMAND = shutil.which("pgbouncer")
CONFIG = """[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 500
unix_socket_dir =
ignore_startup_parameters = extra_float_digits
"""


@contextmanager
def running(database_url: str, size: int) -> Iterator[str]:
    """Yield the URL of the database through a PgBouncer with `size` connections to it."""
    assert COMMAND is not None
    url, own = make_url(database_url), free_port()
    folder = Path(tempfile.mkdtemp(prefix="semblance-pgbouncer-"))
    folder.chmod(0o755)
    file = folder / "pgbouncer.ini"
    file.write_text(
        CONFIG.format(host=url.host, port=url.port, user=url.username, own=own, size=size)
    )
    process = subprocess.Popen([COMMAND, "-q", str(file)], user=USER)
    try:
        eventually(lambda: _listens(own))
        yield url.set(host="127.0.0.1", port=own).render_as_string(hide_password=False)
    finally:
        process.kill()
        process.wait(30)
        shutil.rmtree(folder)


def _listens(port: int) -> bool:
    command = ["bash", "-c", f"</dev/tcp/127.0.0.1/{port}"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
