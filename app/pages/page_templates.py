"""Jinja2 environment of the HTML pages.

The pages load no external resources: styles and images are inline. Every value is escaped unless it
is Markup.
"""

import re
from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from app.value_format import format_number, format_score


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("app"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {"number": format_number, "score": format_score, "code": _mark_code}
    return environment


def _mark_code(text: str) -> Markup:
    """Return a message with the names between its backticks as code."""
    escaped = str(escape(text))
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", escaped))  # noqa: S704


def render(template: str, **values: object) -> str:
    return _environment().get_template(template).render(values)
