"""Jinja2 environment of the HTML pages.

The pages load no external resources: styles and images are inline. Every value is escaped unless it
is Markup.
"""

from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined

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
    environment.filters |= {"number": format_number, "score": format_score}
    return environment


def render(template: str, **values: object) -> str:
    return _environment().get_template(template).render(values)
