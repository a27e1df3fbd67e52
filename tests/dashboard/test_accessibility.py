"""All pages and reports in both themes, checked by axe for violations of WCAG 2.2 A and AA."""

from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is a development requirement")
from playwright.sync_api import Browser, Page, expect

from tests.dashboard.conftest import AXE, TIMEOUT_MS, Content, log_in
from tests.processes import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1_800),
    pytest.mark.skipif(
        not AXE.exists(), reason="axe-core is not installed: npm ci in app/dashboard"
    ),
]

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
RUN = """async (tags) => (await axe.run({ runOnly: { type: "tag", values: tags } })).violations
  .map(({ id, nodes }) => ({
    id, where: nodes.slice(0, 3).map((node) => node.html + " " + node.failureSummary),
  }))"""


def addresses(content: Content) -> list[str]:
    return [
        "",
        "datasets",
        "datasets/new",
        f"datasets/{content.images}",
        f"datasets/{content.table}",
        f"datasets/{content.table}/train",
        f"datasets/{content.images}/augment",
        "jobs",
        "jobs?name=none",
        *(f"jobs/{job}" for job in content.jobs),
        "models",
        "models?name=none",
        "models/digits:1",
        "models/customers:1",
        "models/digits:1/playground",
        "models/customers:1/playground",
        "compare",
        "compare?models=digits:1,customers:1",
        "settings",
        "datasets/ds_unknown",
        "nowhere",
    ]


REPORTS = [
    "models/digits:1/report",
    "models/customers:1/report",
    "models/digits:1/card",
    "models/customers:1/card",
    "models/compare?models=digits:1,customers:1",
]


def reports(service: Server) -> dict[str, str]:
    """Return the HTML pages that the API serves, by their address."""
    with service.client() as client:
        headers = {"accept": "text/html"}
        return {
            address: client.request("GET", f"/v1/{address}", headers=headers).text
            for address in REPORTS
        }


def violations(page: Page) -> list[dict[str, Any]]:
    page.add_script_tag(path=str(AXE))
    found: list[dict[str, Any]] = page.evaluate(RUN, TAGS)
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_violation(
    theme: Any, browser: Browser, service: Server, content: Content
) -> None:
    context = browser.new_context(base_url=service.url, color_scheme=theme, bypass_csp=True)
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    page.goto("/")
    page.get_by_label("API key").wait_for()
    found = {"login": violations(page)}
    log_in(page, (service.folder / "admin.key").read_text().strip())
    for address in addresses(content):
        page.goto(f"/#/{address}")
        page.reload()
        page.get_by_role("heading", level=1).wait_for()
        expect(page.locator(".loading")).to_have_count(0)
        found[address] = violations(page)
    for address, html in reports(service).items():
        page.set_content(html)
        found[address] = violations(page)
    context.close()
    assert {address: list_ for address, list_ in found.items() if list_} == {}


def test_pages_fit_a_phone(browser: Browser, service: Server, content: Content) -> None:
    context = browser.new_context(base_url=service.url, viewport={"width": 390, "height": 800})
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    log_in(page, (service.folder / "admin.key").read_text().strip())
    too_wide = []
    for address in addresses(content):
        page.goto(f"/#/{address}")
        page.get_by_role("heading", level=1).wait_for()
        expect(page.locator(".loading")).to_have_count(0)
        if page.evaluate("document.documentElement.scrollWidth") > 390:
            too_wide.append(address)
    page = context.new_page()  # without the dashboard's policy, which blocks styles in a page
    for address, html in reports(service).items():
        page.set_content(html)
        if page.evaluate("document.documentElement.scrollWidth") > 390:
            too_wide.append(address)
    context.close()
    assert too_wide == []
