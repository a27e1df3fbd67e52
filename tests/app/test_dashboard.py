"""Static files of the dashboard."""

import gzip
import re

from starlette.testclient import TestClient

from app.routes.dashboard import FOLDER


def test_the_page_and_its_files_are_served_with_a_strict_policy(anonymous: TestClient) -> None:
    page = anonymous.get("/")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    files = re.findall(r'(?:src|href)="(/dashboard/[^"]+)"', page.text)
    assert len(files) == 3
    for file in files:
        served = anonymous.get(file)
        assert served.status_code == 200
        again = anonymous.get(file, headers={"If-None-Match": served.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_the_page_has_no_inline_code_and_says_what_it_needs(anonymous: TestClient) -> None:
    page = anonymous.get("/").text
    assert not re.search(r"<script(?![^>]*src=)|<style|style=|\son\w+=", page)
    assert re.search(r'<noscript>.*JavaScript.*href="/docs"', page, re.DOTALL)


def test_only_the_files_of_the_page_are_served(anonymous: TestClient) -> None:
    assert anonymous.get("/dashboard/package.json").status_code == 404
    assert anonymous.get("/dashboard/..%2F..%2Fmain.py").status_code == 404


def test_the_first_load_is_small() -> None:
    sizes = [len(gzip.compress(file.read_bytes())) for file in FOLDER.iterdir()]
    assert sum(sizes) <= 100_000
