"""Console messages of `semblance-server up` and `login-link`."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from core.settings import Settings
from core.supervisor import Service, Supervisor, rotate_log
from tests.processes import TIMEOUT_S, eventually


def run_server(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "core.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
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
        rotate_log(path, max_bytes=6)
        assert path.read_text() == "first\n"
        service.write("second\n")
        rotate_log(path, max_bytes=6)
        service.write("third\n")
    assert path.read_text() == "third\n"
    assert path.with_suffix(".log.1").read_text() == "first\nsecond\n"


def test_a_service_that_exits_again_and_again_is_shown_with_its_last_line(
    configured: Settings,
) -> None:
    printed: list[str] = []
    supervisor = Supervisor(printed.append)
    program = "import sys; print('{\"level\": \"info\"}'); sys.exit('no such queue')"
    supervisor.services = [Service("worker", [sys.executable, "-c", program])]
    supervisor.folder.mkdir(exist_ok=True)
    log = os.open(supervisor.folder / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    supervisor.services[0].start(log)
    thread = threading.Thread(target=supervisor._supervise, args=(log,))
    thread.start()
    try:
        eventually(lambda: len(printed) == 2)
    finally:
        supervisor._on_signal()
        thread.join()
        supervisor._stop_all()
        os.close(log)
    assert printed[0] == "The worker exited and is restarted."
    assert "2 times" in printed[1]
    assert "no such queue" in printed[1]
