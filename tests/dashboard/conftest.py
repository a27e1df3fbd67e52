"""A real service, a real Chromium, and content for the pages."""

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.routes.dashboard import FOLDER
from tests.processes import Server, eventually, serving

with suppress(ImportError):  # each test module is then skipped with the reason
    from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

CHROMIUM = next(
    filter(None, (shutil.which(name) for name in ("chromium", "chromium-browser"))), None
)
AXE = FOLDER.parent / "node_modules" / "axe-core" / "axe.min.js"
TIMEOUT_MS = 180_000  # far above what an idle machine needs, because tests share theirs


@pytest.fixture(scope="session")
def chromium() -> str:
    if CHROMIUM is None:
        pytest.skip("no Chromium on PATH: the tests of the dashboard need one")
    if not (FOLDER / "app.js").exists():
        pytest.skip("the dashboard is not built: run `make install`")
    return CHROMIUM


# Not for the session: until Playwright ends, no other test can run an event loop of its own.
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator["Browser"]:
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def service(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("dashboard") / "data"
    with serving(folder, SEMBLANCE_AUTO_EVALUATE="true") as server:
        eventually(server.is_ready, within=600)
        yield server


@dataclass
class Content:
    """Ids of a dataset of images and one of a table, each with a trained and evaluated model."""

    images: str
    table: str
    jobs: list[str]


def customers(rows: int) -> str:
    """Return a CSV file with numbers, categories and dates."""
    pick = random.Random(0)  # noqa: S311 - test data
    lines = ["age,income,plan,churned,signup"]
    for _ in range(rows):
        plan = pick.choice(["basic", "plus", "pro"])
        age, income = pick.randint(18, 80), pick.randint(9000, 90000)
        churned = "yes" if pick.random() < 0.3 else "no"
        lines.append(f"{age},{income},{plan},{churned},2024-{pick.randint(1, 12):02d}-05")
    return "\n".join(lines)


@pytest.fixture(scope="session")
def content(service: Server, tmp_path_factory: pytest.TempPathFactory) -> Content:
    file = tmp_path_factory.mktemp("files") / "customers.csv"
    file.write_text(customers(200))
    with service.client() as client:
        images = client.create_builtin_dataset("digits")["id"]
        table = client.upload(file, target="churned")["id"]
        jobs = [
            client.train(
                dataset,
                name=name,
                preset="fast",
                budget={"steps": steps},
                checkpoint={"interval_steps": 20},
            )["id"]
            for dataset, name, steps in ((images, "digits", 60), (table, "customers", 40))
        ]
        for job in jobs:
            client.wait(job)
        for name in ("digits", "customers"):
            client.report(name, wait=True)
    return Content(images, table, jobs)


@pytest.fixture
def context(browser: "Browser", service: Server) -> Iterator["BrowserContext"]:
    """Open a browser session; the test fails if a request leaves the service or a script fails."""
    context = browser.new_context(base_url=service.url, accept_downloads=True)
    context.set_default_timeout(TIMEOUT_MS)
    left: list[str] = []
    failed: list[str] = []
    context.on("request", lambda r: r.url.startswith((service.url, "blob:")) or left.append(r.url))
    context.on("weberror", lambda error: failed.append(str(error.error)))
    yield context
    context.close()
    assert left == []
    assert failed == []


@pytest.fixture
def page(context: "BrowserContext", service: Server) -> "Page":
    """Open a page that is logged in with the admin key."""
    page = context.new_page()
    log_in(page, (service.folder / "admin.key").read_text().strip())
    return page


def log_in(page: "Page", key: str) -> None:
    page.goto("/")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Overview").wait_for()


def saved(page: "Page", button: str, folder: Path) -> Path:
    """Press a button that saves a file, and return the file."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    return file
