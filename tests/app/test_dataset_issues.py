"""Issues of a dataset: how many examples, and who sees those that quote cells."""

import pytest
from starlette.testclient import TestClient

from core import api_keys
from core.database import write
from tests.conftest import TENANT
from tests.factories import create_dataset

ROWS = "".join(f"{'' if i % 2 else 'x'}{i},{i % 7},{i % 3}\n" for i in range(400))
# The last line has a name that only keys for data may see.
TABLE = f"a,b,c\n{ROWS}Collected by Anna Example for the clinic\n".encode()


@pytest.fixture
def reader() -> dict[str, str]:
    """Return the headers of a key that may read metadata and train, but not read data."""
    with write() as session:
        api_keys.add(session, TENANT, "sem_reader", name="reader", scopes=("read", "train"))
    return {"Authorization": "Bearer sem_reader"}


def test_cells_in_examples_and_warnings_are_for_keys_that_may_read_data(
    client: TestClient, reader: dict[str, str]
) -> None:
    path = f"/v1/datasets/{create_dataset(TABLE, 'a.csv')}"
    issues = {issue["code"]: issue for issue in client.get(f"{path}/issues").json()["data"]}
    assert issues["footer_lines"]["examples"] == ["Collected by Anna Example for the clinic"]
    hidden = client.get(f"{path}/issues", headers=reader)
    assert "Anna" not in hidden.text
    by_code = {issue["code"]: issue for issue in hidden.json()["data"]}
    assert (by_code["footer_lines"]["count"], by_code["footer_lines"]["examples"]) == (1, [])
    assert {code: issue["examples"] for code, issue in by_code.items()} == {
        code: [] if code == "footer_lines" else issue["examples"] for code, issue in issues.items()
    }
    body = {"kind": "training", "dataset": path.rpartition("/")[2]}
    job = client.post("/v1/jobs", json=body, headers=reader)
    assert "below the table" in job.text
    assert "Anna" not in job.text


def test_up_to_a_hundred_examples_of_an_issue_are_listed_on_request(client: TestClient) -> None:
    repeated = "".join(f"{i % 40},{i % 40}\n" for i in range(200))
    odd = "".join(f"{'n/k' if i % 150 == 7 else i + 0.5},{i}\n" for i in range(20_000))
    for rows, code, count in ((repeated, "duplicate", 160), (odd, "odd_values", 134)):
        dataset = create_dataset(f"a,b\n{rows}".encode(), "a.csv")
        path = f"/v1/datasets/{dataset}/issues"
        for query, shown in (("", 5), ("?examples=100", 100), ("?examples=0", 0)):
            issues = client.get(path + query).json()["data"]
            (issue,) = (issue for issue in issues if issue["code"] == code)
            assert (issue["count"], len(issue["examples"])) == (count, shown)
            assert len(set(issue["examples"])) == shown
    assert client.get(f"{path}?examples=101").status_code == 422


def test_lines_between_the_pages_of_a_printed_list_are_for_keys_that_may_read_data(
    client: TestClient, reader: dict[str, str]
) -> None:
    pages = "Printed by Anna Example\n".join(
        "".join(f"|x{i % 7}|{i * 1.5 + page}|\n" for i in range(60)) for page in range(3)
    )
    dataset = create_dataset(("|a|b|\n" + pages).encode(), "a.txt")
    path = f"/v1/datasets/{dataset}/issues"
    assert "Printed by Anna" in client.get(path).text
    hidden = client.get(path, headers=reader)
    assert "comment_lines" in hidden.text
    assert "Anna" not in hidden.text
