"""The Kubernetes manifests: valid, consistent, and scaled by the table of jobs."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from sqlalchemy import text, update

from core import jobs
from core.database import clock, get_engine, write
from core.jobs import NewJob
from core.settings import Settings
from core.tables import Job, JobKind, Tenant
from tests.conftest import TENANT, AddJob

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
VERSION = "1.31"  # of Kubernetes
EXTENSIONS = ("kustomize.config.k8s.io/", "keda.sh/")  # not in the schemas of Kubernetes


@cache
def manifests() -> list[dict[str, Any]]:
    return [
        manifest
        for path in sorted(FOLDER.glob("*.yaml"))
        for manifest in yaml.safe_load_all(path.read_text())
    ]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {
        manifest["metadata"]["name"]: manifest
        for manifest in manifests()
        if manifest["kind"] == kind
    }


def test_each_manifest_is_valid() -> None:
    checked = 0
    for manifest in manifests():
        if not manifest["apiVersion"].startswith(EXTENSIONS):
            kubernetes_validate.validate(manifest, VERSION, strict=True)
            checked += 1
    assert checked >= 15


def test_every_file_is_part_of_the_kustomization() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == files


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_kustomize_renders_them_with_the_secret(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    shutil.copy(FOLDER / "secret.env.example", tmp_path / "secret.env")
    command = ["kubectl", "kustomize", str(tmp_path)]
    rendered = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    objects = list(yaml.safe_load_all(rendered))
    (secret,) = [each for each in objects if each["kind"] == "Secret"]
    names = set(re.findall(r"name: (semblance-\w{10})\b", rendered))
    assert names == {secret["metadata"]["name"]}  # every reference follows the hash of the content
    assert "image: semblance\n" not in rendered


def test_selectors_probes_and_budgets_refer_to_what_exists() -> None:
    deployments = of_kind("Deployment")
    assert set(deployments) == {"api", "sampler", "worker-cpu", "worker-gpu"}
    for name, deployment in deployments.items():
        template = deployment["spec"]["template"]
        labels = template["metadata"]["labels"]
        budget = of_kind("PodDisruptionBudget")[name]["spec"]
        for selector in (deployment["spec"]["selector"], budget["selector"]):
            assert selector["matchLabels"].items() <= labels.items()
        (container,) = template["spec"]["containers"]
        ports = {port["name"] for port in container["ports"]}
        probes = [container[probe] for probe in container if probe.endswith("Probe")]
        assert probes
        assert {probe["httpGet"]["port"] for probe in probes} <= ports
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert template["spec"]["securityContext"]["runAsNonRoot"]
    for name, service in of_kind("Service").items():
        assert service["spec"]["selector"] == deployments[name]["spec"]["selector"]["matchLabels"]
    for scaled in of_kind("ScaledObject").values():
        assert scaled["spec"]["scaleTargetRef"]["name"] in deployments
        for trigger in scaled["spec"]["triggers"]:
            assert trigger["authenticationRef"]["name"] in of_kind("TriggerAuthentication")
    keys = re.findall(r"^(\w+)=", (FOLDER / "secret.env.example").read_text(), re.MULTILINE)
    for authentication in of_kind("TriggerAuthentication").values():
        assert {ref["key"] for ref in authentication["spec"]["secretTargetRef"]} <= set(keys)


def test_settings_exist_and_their_times_fit_the_grace_periods() -> None:
    given = of_kind("ConfigMap")["semblance"]["data"]
    secret = re.findall(r"^(\w+)=", (FOLDER / "secret.env.example").read_text(), re.MULTILINE)
    names = {name for name in (*given, *secret) if name.startswith("SEMBLANCE_")}
    assert {name.removeprefix("SEMBLANCE_").lower() for name in names} <= set(Settings.model_fields)
    settings = Settings(_env_file=None, **_plain(given))  # type: ignore[call-arg]
    api, worker = (
        of_kind("Deployment")[name]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        for name in ("api", "worker-cpu")
    )
    assert api >= settings.drain_delay_seconds + settings.request_grace_seconds + 5
    assert worker >= settings.shutdown_grace_seconds + 15


def _plain(environment: dict[str, str]) -> dict[str, Any]:
    return {
        name.removeprefix("SEMBLANCE_").lower(): yaml.safe_load(value)
        for name, value in environment.items()
        if name.startswith("SEMBLANCE_")
    }


def wanted_workers(name: str) -> int:
    (trigger,) = of_kind("ScaledObject")[name]["spec"]["triggers"]
    query = trigger["metadata"]["query"]
    assert trigger["metadata"]["targetQueryValue"] == "1"  # jobs for each worker
    with get_engine().connect() as connection:
        if connection.dialect.name == "sqlite":  # KEDA needs PostgreSQL; SQLite has no now()
            query = query.replace("now()", "semblance_clock(0)")
        return int(connection.execute(text(query)).scalar_one())


def test_the_number_of_workers_follows_the_table_of_jobs(
    configured: Settings, add_job: AddJob
) -> None:
    assert (wanted_workers("worker-cpu"), wanted_workers("worker-gpu")) == (0, 0)
    first, running, later, ended, suspended = (add_job() for _ in range(5))
    with write() as session:
        gpu = NewJob(JobKind.TRAINING, "g", None, {}, {}, queue="training", device="gpu")
        jobs.create(session, TENANT, gpu)
        assert jobs.claim(session, running.id, "w/h:1") is not None
        session.add(Tenant(id="tnt_2", name="suspended", suspended_at=clock()))
        session.flush()
        for job, values in (
            (later, {"available_at": clock(3_600.0)}),
            (ended, {"state": "succeeded", "finished_at": clock()}),
            (suspended, {"tenant_id": "tnt_2"}),
        ):
            session.execute(update(Job).where(Job.id == job.id).values(**values))
    assert (wanted_workers("worker-cpu"), wanted_workers("worker-gpu")) == (2, 1)
    with write() as session:  # notified or not, and whatever the broker knows
        jobs.mark_notified(session, [first.id])
    assert wanted_workers("worker-cpu") == 2
    with write() as session:
        claimed = jobs.claim(session, first.id, "w/h:2")
        assert claimed is not None
        jobs.create_shards(session, claimed[0], count=30, size=10)
    assert wanted_workers("worker-cpu") == 2 + 3  # each shard may have a worker
