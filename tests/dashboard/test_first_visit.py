"""The first visit: the link of the server, data without a file, and no JavaScript."""

import pytest

pytest.importorskip("playwright", reason="playwright is a development requirement")
from playwright.sync_api import Browser, BrowserContext, expect

from tests.processes import Server


def test_the_link_of_the_server_logs_in_once(service: Server, context: BrowserContext) -> None:
    assert service.process.stdout is not None
    line = next(line for line in service.process.stdout if "/#/login?code=" in line)
    link = line.split()[-1]
    page = context.new_page()
    page.goto(link)
    page.get_by_role("heading", name="Overview").wait_for()
    assert "code" not in page.url

    page.get_by_role("link", name="Upload data").first.click()
    page.get_by_role("button", name="Use the example “digits”").click()
    expect(page.get_by_role("heading", name="Labels (10)")).to_be_visible()
    expect(page.get_by_alt_text("Images of each label")).to_be_visible()

    other = context.new_page()  # session storage belongs to a tab
    other.goto(link)
    expect(other.get_by_role("alert")).to_contain_text("login-link")


def test_without_javascript_the_page_says_what_it_needs(browser: Browser, service: Server) -> None:
    context = browser.new_context(base_url=service.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    assert "The dashboard needs JavaScript" in page.locator("body").inner_text()
    page.get_by_role("link", name="documentation of the routes").click()
    expect(page).to_have_url(f"{service.url}/docs")
    context.close()
