"""Installed packages have no vulnerability that was published and mended."""

from importlib.metadata import version

import pytest
from packaging.version import Version

# The first version without the named vulnerabilities.
MINIMUM = {
    "h11": "0.16.0",  # CVE-2025-43859
    "pillow": "12.2",  # CVE-2026-25990, GHSA-wjx4-4jcj-g98j
    "pyarrow": "23.0.1",
    "python-multipart": "0.0.30",  # CVE-2026-42561, CVE-2026-53539
    "starlette": "1.3.1",  # CVE-2026-48710, CVE-2026-54283
    "torch": "2.10",  # CVE-2025-32434
}


@pytest.mark.parametrize("package", MINIMUM)
def test_a_package_is_not_older_than_its_first_safe_version(package: str) -> None:
    assert Version(version(package)) >= Version(MINIMUM[package])
