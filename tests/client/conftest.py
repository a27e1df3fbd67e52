"""The service at a real port, for the client and the command line."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from fastapi import FastAPI
from semblance import Client
from semblance.command.main import main

from core import api_keys, database
from core.settings import Settings
from tests.client.live import LiveApplication, live
from tests.conftest import KEY, TENANT
from tests.factories import clear_model_caches
from tests.processes import free_port


@pytest.fixture
def service(
    configured: Settings,
    application: FastAPI,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[LiveApplication]:
    """Run the service in this process; the client's environment variables name it."""
    clear_model_caches()
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)  # the application replaces it
    with database.write() as session:
        api_keys.add(session, TENANT, KEY, name="test", scopes=api_keys.SCOPES)
    with live(application, free_port()) as server:
        monkeypatch.setenv("SEMBLANCE_URL", server.url)
        monkeypatch.setenv("SEMBLANCE_KEY", KEY)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        yield server


@pytest.fixture
def api(service: LiveApplication) -> Iterator[Client]:
    with Client.from_env() as client:
        yield client


@dataclass
class Outcome:
    """The output of a command, and its exit code."""

    code: int
    stdout: str
    stderr: str


def run(*arguments: str, input: str | None = None) -> Outcome:
    """Run the command line in this process."""
    with CliRunner().isolation(input) as (out, err, _):
        with pytest.raises(SystemExit) as ended:
            main([*arguments])
        return Outcome(int(ended.value.code or 0), out.getvalue().decode(), err.getvalue().decode())
