"""docker-compose.yml: accepted by Compose, consistent, and with settings that exist."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.settings import Settings

ROOT = Path(__file__).parents[2]
SECRETS = {
    name: f"secret-{name.lower()}"
    for name in (
        *("POSTGRES_PASSWORD", "REDIS_PASSWORD", "OBJECTS_PASSWORD", "OBJECTS_ROOT_PASSWORD"),
        *("SEMBLANCE_SIGNING_SECRET", "SEMBLANCE_ADMIN_KEY"),
    )
}
ROLES = {"migrate", "api", "sampler", "worker"}
ONCE = {"migrate", "objects-user"}  # end when they are done


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def resolve(value: str) -> str:
    """Replace `${NAME:-default}` by the default, and `${NAME:?message}` by a secret."""
    value = re.sub(r"\$\{(\w+)(?::\?[^}]*)?\}", lambda match: SECRETS[match[1]], value)
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def test_only_one_service_builds_the_image_that_all_roles_use(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert [name for name, service in services.items() if "build" in service] == ["migrate"]
    assert len({services[role]["image"] for role in (*ROLES, "gpu-worker")}) == 1
    assert {role: services[role]["command"] for role in ROLES} == {role: role for role in ROLES}
    extras = resolve(services["migrate"]["build"]["args"]["EXTRAS"]).split()
    for extra in extras:
        assert (ROOT / "requirements" / f"{extra}.txt").exists()
    assert "dp" in extras


def test_every_service_restarts_and_waits_for_what_it_needs(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        assert service["restart"] == ("on-failure" if name in ONCE else "unless-stopped")
        assert name in ONCE or "healthcheck" in service, name
    for role in ROLES - {"migrate"}:
        waits = services[role]["depends_on"]
        assert {waits[name]["condition"] for name in ONCE} == {"service_completed_successfully"}
        assert {waits[name]["condition"] for name in ("redis", "objects")} == {"service_healthy"}
        assert services[role]["read_only"]
    volumes = {
        volume.split(":")[0]
        for service in services.values()
        for volume in service.get("volumes", [])
        if ":" in volume and not volume.startswith("./")
    }
    assert volumes == set(compose["volumes"])


def test_only_the_object_store_and_its_set_up_have_the_rights_of_its_root(
    compose: dict[str, Any],
) -> None:
    services = compose["services"]
    with_root = {
        name
        for name, service in services.items()
        if "OBJECTS_ROOT_PASSWORD" in json.dumps(service.get("environment", {}))
    }
    assert with_root == {"objects", "objects-user"}
    root, user = services["objects"]["environment"], services["objects-user"]["environment"]
    assert root["ROOT_ACCESS_KEY"] != user["AWS_ACCESS_KEY_ID"]
    assert root.items() <= user.items()
    for role in ROLES:
        environment = services[role]["environment"]
        assert environment["SEMBLANCE_STORAGE_URL"].startswith(f"s3://{user['BUCKET']}/")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            assert environment[name] == user[name]
    command, volumes = services["objects"]["command"], services["objects"]["volumes"]
    folder = command[command.index("--iam-dir") + 1]
    assert f"objects-users:{folder}" in volumes  # users survive a restart
    assert f"objects:{command[-1]}/{user['BUCKET']}" in volumes
    (mount,) = services["objects-user"]["volumes"]
    source, target, _ = mount.split(":")
    assert (ROOT / source).exists()
    assert services["objects-user"]["entrypoint"] == ["python", target]


def test_settings_of_the_services_are_valid(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {
        name: resolve(value)
        for name, value in compose["services"]["api"]["environment"].items()
        if name.startswith("SEMBLANCE_")
    }
    names = {name.removeprefix("SEMBLANCE_").lower() for name in environment}
    assert names <= set(Settings.model_fields)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.allowed_hosts == ["localhost", "127.0.0.1", "api", "sampler"]
    grace = compose["services"]["worker"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) >= settings.shutdown_grace_seconds + 15


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="needs docker-compose")
@pytest.mark.parametrize("profile", ["", "gpu"])
def test_compose_accepts_the_file(profile: str) -> None:
    command = ["docker-compose", *(("--profile", profile) if profile else ()), "config"]
    environment = os.environ | SECRETS
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    services = yaml.safe_load(result.stdout)["services"]
    hosts = services["api"]["environment"]["SEMBLANCE_ALLOWED_HOSTS"]
    assert "sampler" in json.loads(hosts)
    assert set(services) >= ROLES
