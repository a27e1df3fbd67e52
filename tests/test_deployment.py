"""Rights of containers and files."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parent.parent


def test_containers_have_no_more_rights_than_they_need() -> None:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services = compose["services"]
    for name in ("migrate", "api", "worker"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("${SEMBLANCE_BIND:-127.0.0.1}:") for port in ports)
    assert "requirepass" in " ".join(services["redis"]["command"])
    secret = re.compile(r"\$\{\w+(:\?[^}]*)?\}")  # no default
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            if name.endswith(("PASSWORD", "SECRET", "SECRET_ACCESS_KEY", "ADMIN_KEY")):
                assert secret.fullmatch(value), name
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER semblance$", dockerfile, re.MULTILINE)


def test_images_of_others_are_pinned_by_digest() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    images = {service["image"] for service in services.values()}
    images.remove("${SEMBLANCE_IMAGE:-semblance}")
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"${BASE}"}
    images |= set(re.findall(r"^ARG BASE=(\S+)$", dockerfile, re.MULTILINE))
    assert len(images) >= 4
    pinned = re.compile(r"[\w/]+:[\w.-]+@sha256:[0-9a-f]{64}")
    assert [image for image in images if not pinned.fullmatch(image)] == []


def test_the_files_of_a_service_are_for_their_owner_alone(tmp_path: Path) -> None:
    environment = os.environ | {"SEMBLANCE_DATA_DIR": str(tmp_path / "data")}
    command = [sys.executable, "-m", "core.cli", "migrate"]
    subprocess.run(command, env=environment, umask=0o022, check=True)
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert files
    for path in [tmp_path / "data", *files]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
