"""SVG elements as escaped markup."""

from markupsafe import Markup, escape


def element(tag: str, *content: str, **attributes: object) -> Markup:
    """Return an element; its content and attributes are escaped unless they are Markup.

    Underscores in names of attributes become hyphens. Floats are rounded to one decimal.
    """
    # Charts have hundreds of elements, for which Markup.format would be too slow.
    pairs = "".join(
        f' {name.replace("_", "-")}="{_attribute(value)}"' for name, value in attributes.items()
    )
    inner = "".join(map(escape, content))
    return Markup(f"<{tag}{pairs}>{inner}</{tag}>")  # noqa: S704 - its parts are escaped


def _attribute(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else escape(value)
