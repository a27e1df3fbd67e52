"""The OpenAPI document as text: `python -m app.openapi > docs/openapi.json`."""

import json
import sys

from app.main import create_app


def render() -> str:
    """Return the document as indented JSON, in the order in which the routes are declared."""
    return json.dumps(create_app().openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
