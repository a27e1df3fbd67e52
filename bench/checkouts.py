"""Compare this checkout with an older one: `python -m bench.checkouts OTHER_CHECKOUT`.

Each round starts a service of one checkout and then of the other, on one CPU core for each process
that computes, and sends the same requests: jobs, samples of images and rows, and `/livez`. The
output is the median of each checkout over the rounds and their ratio; the spread of the rounds
shows what is noise. Both run with the packages of this environment.
"""

import argparse
import csv
import io
import statistics
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from bench.serving import CHECKOUT, service_of

STEPS, IMAGES, ROWS = 300, 20_000, 20_000
SMALL_JOBS, SMALL_SAMPLES, PROBES, QUEUED_JOBS = 15, 40, 300, 100
UNITS = {
    "training of images": "steps/s",
    "training of a table": "steps/s",
    "images": "1/s",
    "rows": "1/s",
    "POST of a training job": "ms",
    "POST of a training job, CPU": "ms",
    "POST of samples, one image": "ms",
    "/livez": "ms",
    "/livez, p99": "ms",
    "memory of all processes": "MiB",
}


def make_images() -> bytes:
    rng, out = np.random.default_rng(0), io.BytesIO()
    labels = np.arange(2_000) % 10
    pixels = rng.integers(0, 256, (2_000, 28, 28), np.uint8) // (1 + labels[:, None, None])
    np.savez(out, x=pixels.astype(np.uint8), y=labels)
    return out.getvalue()


def make_table() -> bytes:
    rng, out = np.random.default_rng(0), io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["age", "income", "city", "member"])
    for _ in range(4_000):
        age = int(rng.integers(18, 80))
        city = rng.choice(["Rome", "Paris", "Oslo"])
        writer.writerow([age, round(rng.gamma(3, 900), 2), city, "yes" if age > 50 else "no"])
    return out.getvalue().encode()


def post(client: httpx.Client, url: str, **arguments: Any) -> httpx.Response:
    response = client.post(url, **arguments)
    response.raise_for_status()
    return response


def seconds(client: httpx.Client, method: str, url: str, **arguments: Any) -> float:
    started = time.perf_counter()
    client.request(method, url, **arguments).raise_for_status()
    return time.perf_counter() - started


def wait_for_end(client: httpx.Client, job_id: str) -> dict[str, Any]:
    while True:
        job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}", params={"wait": 30}).json()
        if job["state"] == "succeeded":
            return job
        if job["state"] in ("failed", "cancelled"):
            raise SystemExit(f"The job has {job['state']}: {job['error']}")


def measure(client: httpx.Client, process: psutil.Popen) -> dict[str, float]:
    """Return the figures of one service, in the units of UNITS."""
    figures = {}
    for name, kind, file, meta, count, format in (
        ("training of images", "images", ("images.npz", make_images()), "{}", IMAGES, "npz"),
        (
            "training of a table",
            "rows",
            ("t.csv", make_table()),
            '{"target":"member"}',
            ROWS,
            "csv",
        ),
    ):
        dataset = post(client, "/v1/datasets", files={"file": file}, data={"meta": meta}).json()
        training = {"kind": "training", "dataset": dataset["id"], "name": kind, "seed": 1}
        times = []
        for steps in (1, STEPS + 1):  # the start of a job is not measured
            job = post(client, "/v1/jobs", json={**training, "budget": {"steps": steps}}).json()
            started = time.perf_counter()
            wait_for_end(client, job["id"])
            times.append(time.perf_counter() - started)
        figures[name] = STEPS / (times[1] - times[0])
        url = f"/v1/models/{kind}/samples?format={format}"
        post(client, url, json={"count": 100, "seed": 1})
        figures[kind] = count / seconds(client, "POST", url, json={"count": count, "seed": 2})
    posts = []
    for _ in range(SMALL_JOBS):
        started = time.perf_counter()
        job = post(client, "/v1/jobs", json={**training, "budget": {"steps": 1}}).json()
        posts.append(time.perf_counter() - started)
        wait_for_end(client, job["id"])
    figures["POST of a training job"] = 1_000 * statistics.median(posts)
    url = "/v1/models/images/samples?format=npz"
    samples = [
        seconds(client, "POST", url, json={"count": 1, "seed": seed})
        for seed in range(SMALL_SAMPLES)
    ]
    figures["POST of samples, one image"] = 1_000 * statistics.median(samples)
    probes = sorted(seconds(client, "GET", "/livez") for _ in range(PROBES))
    figures["/livez"] = 1_000 * statistics.median(probes)
    figures["/livez, p99"] = 1_000 * probes[int(0.99 * PROBES)]
    processes = [process, *process.children(recursive=True)]
    figures["memory of all processes"] = sum(p.memory_full_info().pss for p in processes) / 2**20
    # Unlike the time, the CPU time of the API depends little on what else the machine does.
    api = next(each for each in processes if each.cmdline()[1:] == ["-m", "app"])
    before = sum(api.cpu_times()[:2])
    for _ in range(QUEUED_JOBS):
        post(client, "/v1/jobs", json={**training, "budget": {"steps": 1}})
    cpu_s = sum(api.cpu_times()[:2]) - before
    figures["POST of a training job, CPU"] = 1_000 * cpu_s / QUEUED_JOBS
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.checkouts", description=__doc__)
    parser.add_argument("other", type=Path, help="folder of the other checkout")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    checkouts = [arguments.other.resolve(), CHECKOUT]
    rounds: list[list[dict[str, float]]] = [[], []]
    for _ in range(arguments.rounds):
        for checkout, figures in zip(checkouts, rounds, strict=True):
            with service_of(checkout) as service:
                headers = {"Authorization": f"Bearer {service.key}"}
                with httpx.Client(base_url=service.url, headers=headers, timeout=600) as client:
                    figures.append(measure(client, service.process))
    print(
        "| | other | this | ratio | rounds of other | rounds of this |\n|---|---|---|---|---|---|"
    )
    for name, unit in UNITS.items():
        values = [[figures[name] for figures in each] for each in rounds]
        before, now = map(statistics.median, values)
        spread = " | ".join(" ".join(f"{value:.3g}" for value in each) for each in values)
        print(f"| {name}, {unit} | {before:.3g} | {now:.3g} | {now / before:.2f} | {spread} |")


if __name__ == "__main__":
    main()
