"""Refusals of the commands `semblance-server up` and `login-link`."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from core import supervisor


def run_server(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "core.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={name: text for name, text in os.environ.items() if not name.startswith("SEMBLANCE_")},
        check=False,
    )


def test_a_port_in_use_is_reported_in_one_line_and_nothing_starts(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        ended = run_server("up", "--data", str(tmp_path / "data"), "--port", str(port))
    assert ended.returncode == 3
    (line,) = ended.stdout.splitlines()
    assert f"Port {port}" in line
    assert "--port" in line
    assert not (tmp_path / "data" / "admin.key").exists()


def test_a_login_link_of_a_folder_without_a_server_names_the_option(tmp_path: Path) -> None:
    ended = run_server("login-link", "--data", str(tmp_path))
    assert ended.returncode == 1
    assert "--data" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_large_log_is_rotated_while_the_services_write_to_it(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    with path.open("a", buffering=1) as service:
        service.write("first\n")
        supervisor.rotate_log(path, max_bytes=6)
        assert path.read_text() == "first\n"
        service.write("second\n")
        supervisor.rotate_log(path, max_bytes=6)
        service.write("third\n")
    assert path.read_text() == "third\n"
    assert path.with_suffix(".log.1").read_text() == "first\nsecond\n"
