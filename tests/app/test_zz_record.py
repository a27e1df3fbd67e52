import base64
import hashlib
import json
import re

from sqlalchemy import select

from app.main import create_app
from core import workers
from core.database import write
from core.tables import Model
from tests.factories import *
from worker.job_runner import run_next

DOC = create_app().openapi()
OUT = {}


def match(path):
    best = None
    for p in DOC["paths"]:
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", p.replace(".", r"\.")), path):
            if best is None or p.count("{") < best.count("{"):
                best = p
    return best


def ref(schema):
    return schema.get("$ref", "").rsplit("/", 1)[-1]


def trim(v, depth=0):
    if isinstance(v, dict):
        items = list(v.items())
        if (
            len(items) > 12
            and all(isinstance(x, (int, float, str)) for _, x in items)
            and depth > 0
        ):
            items = items[:4]
        return {k: trim(x, depth + 1) for k, x in items}
    if isinstance(v, list):
        if v and isinstance(v[0], (int, float)) and len(v) > 4:
            return v[:4]
        return [trim(x, depth + 1) for x in v[:2]]
    if isinstance(v, str) and len(v) > 300:
        return v[:40]
    return v


def save(name, value, force=False):
    if name and (force or name not in OUT):
        OUT[name] = trim(value)


def call(client, method, path, body=None, name=None, **kw):
    r = (
        client.request(method, path, json=body, **kw)
        if body is not None
        else client.request(method, path, **kw)
    )
    p = match(path.split("?")[0])
    op = DOC["paths"][p][method.lower()]
    assert r.status_code < 400, (method, path, r.status_code, r.text[:500])
    if body is not None:
        s = (
            op.get("requestBody", {})
            .get("content", {})
            .get("application/json", {})
            .get("schema", {})
        )
        n = ref(s)
        if not n and "oneOf" in s:
            n = body["kind"].capitalize() + "Request"
        save(name or n, body)
    if "json" in r.headers.get("content-type", "") and r.content:
        s = op["responses"][str(r.status_code)]["content"]["application/json"]["schema"]
        d = r.json()
        n = ref(s)
        if n.endswith("Page") and n not in ("EventPage", "RowsPage"):
            n, d = (
                ref(DOC["components"]["schemas"][n]["properties"]["data"]["items"]),
                (d["data"] or [None])[0],
            )
        elif s.get("type") == "array":
            n, d = ref(s["items"]), (d or [None])[0]
        elif not n and ("anyOf" in s or "oneOf" in s) and body:
            n = body["kind"].capitalize() + "Plan"
        elif "additionalProperties" in s:
            n, d = ref(s["additionalProperties"]), (list(d.values()) or [None])[0]
        if d is not None:
            save(n, d)
        return r.json()
    return r


def test_record(client):
    OUT["DatasetMeta"] = {"name": "shoes", "tags": {"season": "winter"}}
    call(client, "GET", "/livez")
    r = client.get("/readyz")
    save(
        "Readiness", r.json() | {"status": "ready", "checks": dict.fromkeys(r.json()["checks"], "ok")}
    )
    for n in ("pets", "people"):
        create_trained_model(client, n)
    with write() as s:
        workers.heartbeat(
            s,
            "wkr_1",
            queues=["training"],
            host="node-1",
            gflops=88.5,
            version="0.1.0",
            cpus=8,
            memory_bytes=2**34,
        )
        models = {m.name: m for m in s.scalars(select(Model))}
    pets, people = models["pets"], models["people"]
    with write() as s:
        s.get_one(Model, pets.id).tags = {"season": "winter"}
    d, t = pets.dataset_id, people.dataset_id
    call(client, "GET", "/v1")
    csv = "age,hours,income\n" + "".join(
        f"{20 + i * 7 % 50},{30 + i % 20},{'>50K' if (i * 7 % 50) > 25 else '<=50K'}\n"
        for i in range(300)
    )
    adults = create_dataset(csv.encode(), "adults.csv", target="income")
    save(
        "JobX",
        client.post(
            "/v1/jobs",
            json={
                "kind": "training",
                "dataset": adults,
                "name": "adults",
                "hyperparameters": TINY_TABLE_CONFIG,
                "budget": {"steps": 60},
                "seed": 1,
            },
        ).json(),
    )
    OUT.pop("JobX")
    assert run_next(["training"])
    call(client, "POST", "/v1/jobs", {"kind": "evaluation", "model": "adults:1", "seed": 7})
    call(
        client,
        "POST",
        "/v1/jobs",
        {
            "kind": "generation",
            "model": "pets",
            "labels": {"ant": 300, "bee": 700},
            "format": "tar",
        },
    )
    call(
        client,
        "POST",
        "/v1/jobs",
        {
            "kind": "augmentation",
            "dataset": d,
            "model": "pets",
            "strategy": "fill_to",
            "target": 20,
        },
    )
    while run_next(["evaluation"]):
        pass
    while run_next(["generation"]):
        pass
    job = pets.job_id
    OUT.pop("JobView", None)
    OUT.pop("ModelView", None)
    evaluation = [j for j in client.get("/v1/jobs?kind=evaluation").json()["data"]]
    print([(j["state"], j["error"]) for j in client.get("/v1/jobs").json()["data"]])
    call(client, "GET", f"/v1/jobs/{job}")
    call(
        client,
        "POST",
        "/v1/jobs",
        {
            "kind": "training",
            "dataset": d,
            "preset": "fast",
            "name": "shoes",
            "budget": {"cpu_seconds": 60},
            "seed": 42,
            "quality_gate": {"allowed_verdicts": ["good"]},
        },
    )
    for body in (
        {"kind": "training", "dataset": d},
        {"kind": "evaluation", "model": "adults"},
        {"kind": "generation", "model": "pets", "count": 10},
        {"kind": "augmentation", "dataset": d},
    ):
        call(client, "POST", "/v1/jobs", body | {"validate_only": True}, name="ignore")
    call(client, "GET", "/v1/jobs")
    for part in ("events", "metrics", "checkpoints", "previews"):
        call(client, "GET", f"/v1/jobs/{job}/{part}")
    call(client, "GET", f"/v1/jobs/metrics?jobs={job}")
    call(client, "GET", f"/v1/jobs/{evaluation[0]['id']}/artifacts")
    for ds in (d, t):
        for part in ("", "/profile", "/issues", "/descendants"):
            call(client, "GET", f"/v1/datasets/{ds}{part}")
    call(client, "GET", f"/v1/datasets/{d}/items")
    call(client, "GET", f"/v1/datasets/{t}/rows?limit=2")
    call(client, "GET", f"/v1/datasets/{t}/schema")
    call(client, "GET", f"/v1/datasets/{t}/preview?limit=2")
    call(
        client,
        "PUT",
        f"/v1/datasets/{t}/schema",
        {"columns": [{"name": "age", "type": "integer", "nullable": False}]},
    )
    call(
        client,
        "PATCH",
        f"/v1/datasets/{d}",
        {"name": "shoes of 2026", "tags": {"season": "winter"}},
    )
    call(
        client,
        "POST",
        f"/v1/datasets/{d}/transforms/preview",
        {"transforms": [{"name": "rotate", "max_magnitude": 15.0}, {"name": "flip"}], "seed": 7},
    )
    save("DatasetFrom", {"builtin": "digits", "name": "digits", "tags": {}})
    up = call(client, "POST", "/v1/uploads", {"filename": "shoes.zip", "bytes": 5})
    digest = base64.b64encode(hashlib.sha256(b"hello").digest()).decode()
    r = client.put(
        f"/v1/uploads/{up['id']}/parts/1",
        content=b"hello",
        headers={"Content-Digest": f"sha-256=:{digest}:"},
    )
    save("UploadPartView", r.json())
    call(client, "GET", f"/v1/uploads/{up['id']}")
    for part in ("", "/sampling-options", "/card", "/report", "/evaluations", "/architecture"):
        call(client, "GET", f"/v1/models/adults{part}")
    call(
        client,
        "PATCH",
        "/v1/models/pets",
        {"description": "Winter shoes, for tests.", "tags": {"season": "winter"}},
    )
    with write() as s:
        s.get_one(Model, pets.id)
    call(client, "GET", "/v1/models/compare?models=adults,people")
    call(
        client,
        "POST",
        "/v1/models/people/samples?format=json",
        {
            "conditions": [{"where": {"income": ">50K", "age": {"gte": 40}}, "count": 2}],
            "seed": 7,
            "include": [],
        },
    )
    OUT["SamplesRequest"] = {"labels": {"sneaker": 300, "bag": 700}, "seed": 7}
    m = call(
        client,
        "POST",
        "/v1/models/pets/sample-manifests",
        {"labels": {"ant": 300, "bee": 700}, "seed": 7},
    )
    call(client, "POST", "/v1/sample-manifests/verify", m)
    call(
        client, "POST", "/v1/links", {"path": "/v1/models/pets/samples?label=ant", "expires_s": 600}
    )
    call(client, "POST", "/v1/keys", {"name": "dashboard", "scopes": ["read", "sample"]})
    OUT["CreatedKey"]["key"] = "sem_…"
    call(client, "GET", "/v1/keys")
    call(client, "GET", "/v1/keys/self")
    for part in ("workers", "queues", "usage", "audit", "presets"):
        call(client, "GET", f"/v1/{part}")
    OUT["NewWebhook"] = {
        "url": "https://hooks.example.com/semblance",
        "events": ["job.succeeded", "job.failed"],
        "name": "ci",
    }
    OUT["SigningSecret"] = {"secret": "whsec_…"}
    hook = {
        "id": "wh_01m7zaj2t6p9c4x7e3g5j8m0nr",
        "name": "ci",
        "url": "https://hooks.example.com/semblance",
        "events": ["job.succeeded", "job.failed"],
        "job": None,
        "created_at": "2026-03-01T09:30:12.345Z",
        "disabled_at": None,
        "links": {
            "self": "/v1/webhooks/wh_01m7zaj2t6p9c4x7e3g5j8m0nr",
            "deliveries": "/v1/webhooks/wh_01m7zaj2t6p9c4x7e3g5j8m0nr/deliveries",
        },
    }
    OUT["WebhookView"] = hook
    OUT["CreatedWebhook"] = hook | {"secret": "whsec_…"}
    OUT["DeliveryView"] = {
        "id": "dlv_01m7zaj3v7q0d5y8f4h6k9n1ps",
        "type": "job.succeeded",
        "job": "job_01m7zaj6wa37tq8eq5328jmbg5",
        "state": "delivered",
        "attempt": 1,
        "next_at": None,
        "response_status": 200,
        "last_error": None,
        "created_at": "2026-03-01T09:30:12.345Z",
        "delivered_at": "2026-03-01T09:30:13.101Z",
        "failed_at": None,
    }
    OUT.pop("ignore", None)
    text = json.dumps(OUT, indent=1, ensure_ascii=False)
    for a, b in (("pets", "shoes"), ("2.14.0", "2.14.0")):
        text = text.replace(a, b)
    open("/tmp/contract/examples.json", "w").write(text)
