"""Journeys through the dashboard, from the first visit to judged samples."""

import base64
import csv
import hashlib
import io
import json
import re
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="playwright is a development requirement")
from playwright.sync_api import BrowserContext, Page, expect

from tests.dashboard.conftest import Content, customers, log_in, saved
from tests.processes import Server
from tests.uploads import make_png, make_zip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

WAIT_MS = 600_000
PROBLEMS = {
    403: "Forbidden",
    409: "Conflict",
    413: "Too large",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
    507: "The disk is full",
}
DROP = """([name, text]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([text], name));
  const area = document.querySelector(".drop");
  for (const type of ["dragover", "drop"]) {
    const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
    area.dispatchEvent(new DragEvent(type, options));
  }
}"""


def test_a_dropped_table_becomes_a_model_and_a_file_of_samples(page: Page, tmp_path: Path) -> None:
    page.goto("/#/datasets/new")
    page.get_by_role("heading", name="Upload data").wait_for()
    page.evaluate(DROP, ["shoppers.csv", customers(300)])
    expect(page.locator("#columns option")).to_have_count(5)  # names to choose from
    page.get_by_label("Target column").fill("plan")
    page.get_by_role("button", name="Upload", exact=True).click()
    expect(page.get_by_role("heading", name="shoppers")).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("link", name="Train a model").click()

    page.get_by_label("fast").check()
    page.get_by_role("combobox", name="Target column").select_option("churned")
    page.get_by_role("combobox", name="Budget").select_option("steps")
    page.get_by_label("Number of training steps").fill("200")
    expect(page.locator(".facts")).to_contain_text("200")
    expect(page.locator("pre").first).to_contain_text('"target_column":"churned"')
    page.get_by_role("button", name="Start the training").click()

    expect(page.get_by_role("link", name="generate samples")).to_be_visible(timeout=WAIT_MS)
    expect(page.locator(".u-wrap canvas").first).to_be_visible()
    expect(page.get_by_role("link", name="see its report")).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("link", name="generate samples").click()

    expect(page.locator("table.rows tbody tr")).to_have_count(20)
    page.get_by_role("button", name="Add a condition").click()
    page.get_by_label("Column").select_option("churned")
    page.get_by_label("Values").select_option(["yes"])
    index = [cell.inner_text() for cell in page.locator("table.rows th").all()].index("churned")
    cells = page.locator(f"table.rows tbody td:nth-child({index + 1})")
    expect(cells).to_have_text(["yes"] * 20)
    shown = page.locator("table.rows tbody tr").first.locator("td").all_inner_texts()
    file = saved(page, "Save as a file", tmp_path)
    rows = list(csv.reader(io.StringIO(file.read_text())))
    assert rows[1] == shown
    page.get_by_role("button", name="Receipt").click()
    expect(page.get_by_text("Signed receipt")).to_be_visible()


def test_a_chosen_folder_of_images_becomes_a_dataset(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for i in range(6):
            (folder / label / f"{i}.png").write_bytes(make_png(i))
    (folder / ".thumbnails").mkdir()
    (folder / ".thumbnails" / "index").write_text("not an image")
    page.goto("/#/datasets/new")
    page.get_by_label("Folder").set_input_files(folder)
    expect(page.locator(".drop")).to_contain_text("pets.zip")
    page.get_by_role("button", name="Upload", exact=True).click()
    expect(page.get_by_role("heading", name="pets")).to_be_visible(timeout=WAIT_MS)
    expect(page.locator(".shares .name")).to_have_text(["cat", "dog"])


def test_an_unfinished_upload_is_shown_and_deleted(page: Page, service: Server) -> None:
    with service.client() as client:
        body = {"filename": "large.zip", "bytes": 400}
        upload = client.request("POST", "/v1/uploads", json=body).json()["id"]
        digest = f"sha-256=:{base64.b64encode(hashlib.sha256(b'x' * 100).digest()).decode()}:"
        headers = {"Content-Digest": digest}
        path = f"/v1/uploads/{upload}/parts/1"
        client.request("PUT", path, content=b"x" * 100, headers=headers)
    page.goto("/#/datasets")
    uploads = page.get_by_label("Unfinished uploads").first
    expect(uploads).to_contain_text("100 B of 400 B")
    page.get_by_role("button", name="Delete the upload of large.zip").click()
    answer(page, "Delete")
    expect(uploads).to_have_count(0)


def test_previews_slide_and_images_are_sampled_by_label(
    page: Page, content: Content, tmp_path: Path
) -> None:
    page.goto(f"/#/jobs/{content.jobs[0]}")
    slider = page.get_by_label(re.compile("^Step"))
    slider.wait_for()
    picture = page.get_by_alt_text(re.compile("Samples at step"))
    last = picture.get_attribute("src")
    slider.press("Home")
    expect(picture).not_to_have_attribute("src", str(last))
    assert "preview=" in page.url

    page.goto("/#/models/digits:1/playground")
    page.get_by_label("The same for each").fill("0")
    page.get_by_role("button", name="Set all labels").click()
    expect(page.get_by_text("Choose a number of samples")).to_be_visible()
    page.get_by_label("3", exact=True).fill("5")
    expect(page.get_by_role("heading", name="5 samples")).to_be_visible()
    expect(page.get_by_alt_text("5 samples of digits:1")).to_be_visible()
    with zipfile.ZipFile(saved(page, "Save as a file", tmp_path)) as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
    assert len(names) == 5
    assert all("3" in Path(name).parts for name in names)

    address = page.url  # what is on the screen can be shared
    page.goto("/#/models")
    page.goto(address)
    expect(page.get_by_label("3", exact=True)).to_have_value("5")


def test_a_report_compares_real_and_synthetic_images(page: Page, content: Content) -> None:
    page.goto("/#/models/digits:1")
    for title in ("Unseen real images", "Samples, one row per label", "nearest training image"):
        expect(page.get_by_alt_text(re.compile(title))).to_be_visible()
    expect(
        page.get_by_role("img", name=re.compile("^model .*, naive .*, real "))
    ).not_to_have_count(0)
    expect(page.get_by_role("heading", name="Privacy")).to_be_visible()


def test_models_are_chosen_in_the_list_and_compared(page: Page, content: Content) -> None:
    page.goto("/#/models")
    page.get_by_label("Compare digits:1").check()
    page.get_by_label("Compare customers:1").check()
    page.get_by_role("link", name="Compare 2 models").click()
    expect(page.locator("table.comparison thead")).to_contain_text("digits:1")
    expect(page.locator("table.comparison thead")).to_contain_text("customers:1")
    expect(page.locator(".u-wrap canvas").first).to_be_visible()


def test_the_curve_of_a_running_job_moves_and_the_job_is_cancelled(
    page: Page, content: Content, service: Server
) -> None:
    with service.client() as client:
        job = client.train(content.images, budget={"cpu_seconds": 3000}, evaluate=False)["id"]
    page.goto(f"/#/jobs/{job}")
    losses = page.get_by_role("figure", name="Losses")
    step = losses.locator("figcaption small")
    expect(step).to_contain_text("step", timeout=WAIT_MS)
    shown = losses.inner_text()
    expect(step).not_to_have_text(step.inner_text(), timeout=WAIT_MS)
    assert losses.inner_text() != shown  # the values in the legend follow, too

    page.goto(f"/#/datasets/{content.images}")
    page.get_by_role("button", name="Delete").click()
    answer(page, "Delete")
    expect(page.get_by_role("alert")).to_contain_text("used by active jobs")

    page.goto(f"/#/jobs/{job}")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Cancel").click()
    answer(page, "Cancel the job")
    expect(page.locator("header .badge")).to_have_text("cancelled", timeout=WAIT_MS)
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def answer(page: Page, action: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=action).click()


def test_a_key_is_shown_once_and_revoked(page: Page) -> None:
    page.goto("/#/settings")
    page.get_by_text("New key").click()
    page.get_by_label("Name").fill("notebook")
    page.get_by_role("button", name="Create the key").click()
    expect(page.get_by_text(re.compile("^sem_"))).to_be_visible()
    page.reload()
    page.get_by_role("button", name="Revoke notebook").wait_for()
    assert page.get_by_text(re.compile("^sem_")).count() == 0
    page.get_by_role("button", name="Revoke notebook").click()
    answer(page, "Revoke")
    expect(page.get_by_role("row", name=re.compile("notebook"))).to_contain_text("revoked")


def test_augmentation_shows_its_plan_by_label(page: Page, content: Content) -> None:
    page.goto(f"/#/datasets/{content.table}/augment")
    plan = page.get_by_role("region", name="Plan by label")
    expect(plan.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Each label gets").select_option("fill_to")
    page.get_by_role("spinbutton", name="Items for each label").fill("300")
    expect(page.locator(".side .figure")).to_have_text("600")


def test_the_schema_of_a_table_is_changed_in_place(
    page: Page, service: Server, tmp_path: Path
) -> None:
    file = tmp_path / "visitors.csv"
    file.write_text(customers(60))
    with service.client() as client:
        dataset = client.upload(file)["id"]
        page.goto(f"/#/datasets/{dataset}")
        page.get_by_label("Leave out signup").check()
        page.get_by_role("combobox", name="Target column").select_option("plan")
        page.get_by_role("button", name="Save the schema").click()
        expect(page.get_by_role("heading", name="Labels (3)")).to_be_visible()
        schema = client.request("GET", f"/v1/datasets/{dataset}/schema").json()
        assert schema["target"] == "plan"
        assert [c["name"] for c in schema["columns"] if c["exclude"]] == ["signup"]

        page.get_by_role("button", name="age", exact=True).click()
        rows = client.request("GET", f"/v1/datasets/{dataset}/rows?sort=age&limit=1").json()["data"]
        first = page.locator("table.rows tbody tr").first.locator("td").first
        expect(first).to_have_text(str(rows[0]["values"]["age"]))

        page.get_by_text("Filter", exact=True).click()
        page.get_by_role("button", name="Add a condition").click()
        condition = page.locator(".condition")
        condition.get_by_role("combobox", name="Column").select_option("plan")
        condition.get_by_label("Values").select_option(["pro"])
        cells = page.locator("table.rows tbody td:nth-child(3)")
        expect(cells.first).to_have_text("pro")
        assert set(cells.all_inner_texts()) == {"pro"}


def test_a_misread_table_is_read_again(page: Page, service: Server, tmp_path: Path) -> None:
    file = tmp_path / "words.csv"
    file.write_text(
        "n,word\n" + "\n".join(f"{i},{('k.A.', 'yes', 'no')[i % 3]}" for i in range(60))
    )
    with service.client() as client:
        dataset = client.upload(file)["id"]
        page.goto(f"/#/datasets/{dataset}")
        page.get_by_label("Words for missing values").fill("k.A.")
        page.get_by_role("button", name="Read the file again").click()
        expect(page.locator("table.rows td").filter(has_text="missing").first).to_be_visible()
        page.get_by_label("Word for missing values of word").fill("n/a")
        page.get_by_role("combobox", name="Identifiers in n").select_option("drop")
        page.get_by_role("button", name="Save the schema").click()
        expect(page.get_by_label("Leave out n", exact=True)).to_be_checked()
        columns = client.request("GET", f"/v1/datasets/{dataset}/schema").json()["columns"]
        assert [(c["name"], c["exclude"], c["missing"]) for c in columns] == [
            ("n", True, None),
            ("word", False, "n/a"),
        ]


def test_the_source_of_the_labels_is_corrected(page: Page, service: Server, tmp_path: Path) -> None:
    names = [f"{('old', 'new')[i % 2]}/{('cat', 'dog')[i // 2 % 2]}.{i}.png" for i in range(24)]
    file = tmp_path / "pets.zip"
    file.write_bytes(make_zip({name: make_png(i) for i, name in enumerate(names)}))
    with service.client() as client:
        dataset = client.upload(file, labels_from="folders")["id"]
    page.goto(f"/#/datasets/{dataset}")
    labels = page.locator(".shares .name")
    expect(labels).to_have_text(["new", "old"])
    sources = page.get_by_role("combobox", name="Source of the labels")
    sources.select_option(label="file names: 2 labels, such as cat, dog")
    page.get_by_role("button", name="Read the upload again").click()
    expect(labels).to_have_text(["cat", "dog"])


def test_images_are_shown_by_label(page: Page, content: Content) -> None:
    page.goto(f"/#/datasets/{content.images}")
    page.get_by_role("combobox", name="Label").select_option("7")
    expect(page.get_by_alt_text(re.compile(r"Image \d+ of 7"))).to_have_count(48)
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text(re.compile("^49 to 96 of"))).to_be_visible()


def test_errors_say_what_to_do(page: Page, content: Content, service: Server) -> None:
    page.goto("/#/datasets/ds_unknown")
    expect(page.get_by_role("alert")).to_be_visible()
    page.goto(f"/#/datasets/{content.images}/train")
    page.get_by_role("combobox", name="Budget").select_option("steps")
    field = page.get_by_label("Number of training steps")
    field.fill("-5")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("alert")).to_contain_text("budget.steps")
    expect(page.get_by_role("button", name="Start the training")).to_be_disabled()

    page.goto("/#/datasets/new")
    page.get_by_role("heading", name="Upload data").wait_for()
    page.evaluate(DROP, ["broken.zip", "this is no archive"])
    page.get_by_role("button", name="Upload", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible(timeout=WAIT_MS)

    for status, title in PROBLEMS.items():
        body = {"title": title, "detail": "Free some space, then `retry`.", "code": "any"}
        answer_with(page, status, body)
        page.goto("/#/models")
        page.goto("/#/jobs")
        alert = page.get_by_role("alert").first
        expect(alert).to_contain_text(title)
        expect(alert).to_contain_text("Free some space, then retry.")
        expect(alert).to_contain_text("req_test")
        expect(alert.locator("code")).to_have_text("retry")
    page.unroute("**/v1/**")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    page.goto("/#/models")
    page.route("**/v1/**", lambda route: route.abort())
    page.goto("/#/jobs")
    expect(page.get_by_role("alert").first).to_contain_text("The server does not respond")


def answer_with(page: Page, status: int, body: dict[str, str]) -> None:
    headers = {"content-type": "application/problem+json", "x-request-id": "req_test"}
    page.unroute("**/v1/**")
    page.route(
        "**/v1/**",
        lambda route: route.fulfill(status=status, headers=headers, body=json.dumps(body)),
    )


def test_a_key_without_the_scope_gets_a_sentence(context: BrowserContext, service: Server) -> None:
    with service.client() as client:
        created = client.request(
            "POST", "/v1/keys", json={"name": "reader", "scopes": ["read"]}
        ).json()
    page = context.new_page()
    log_in(page, created["key"])
    page.goto("/#/settings")
    expect(page.get_by_text(re.compile("admin")).first).to_be_visible()


def test_a_revoked_key_ends_the_session_with_a_reason(
    context: BrowserContext, service: Server
) -> None:
    with service.client() as client:
        created = client.request(
            "POST", "/v1/keys", json={"name": "guest", "scopes": ["read"]}
        ).json()
        page = context.new_page()
        log_in(page, created["key"])
        client.request("DELETE", f"/v1/keys/{created['id']}")
    page.goto("/#/jobs")
    expect(page.get_by_text("does not accept this key any more")).to_be_visible()
    expect(page.get_by_label("API key")).to_be_visible()
