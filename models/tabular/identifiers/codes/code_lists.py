"""Cells with one or several codes of the same form, such as `LP-892-00003,LP-892-00004`."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from models.tabular.identifiers.templates import Template, TemplateSet
from models.tabular.identifiers.tokens import MIN_COVERAGE, code_tokens, shape_coverage

MAX_CODES = 10  # in a cell; longer lists become shorter ones
MIN_LISTS, MIN_LIST_SHARE = 3, 0.05  # number and share of the cells with several codes
_SEPARATOR = re.compile(r"[,;|] ?")
_CODE = re.compile(r"(?=\S*\d)(?=\S*[^\W\d_])\S{5,}")


def split_codes(texts: Sequence[str]) -> tuple[list[str], dict[int, int], str] | None:
    """Return the codes of all cells, how many cells have how many, and the text between codes.

    None if the cells have no lists, or if these have other texts than codes of few forms.
    """
    cells = [_SEPARATOR.split(text) for text in texts]
    lists = [cell for cell in cells if len(cell) > 1]
    if len(lists) < max(MIN_LISTS, MIN_LIST_SHARE * len(cells)):
        return None
    codes = [code for cell in cells for code in cell]
    if not all(map(_CODE.fullmatch, codes)):
        return None
    if shape_coverage(code_tokens(codes)) < MIN_COVERAGE:
        return None
    separators = Counter(mark for text in texts for mark in _SEPARATOR.findall(text))
    counts = Counter(min(len(cell), MAX_CODES) for cell in cells)
    return codes, dict(sorted(counts.items())), separators.most_common(1)[0][0]


def repeat_codes(one: TemplateSet, counts: dict[int, int], separator: str) -> TemplateSet:
    """Return templates of as many codes as `counts` of the cells have; each has the form of one."""
    mark = len(one.pools)
    templates: list[Template] = []
    for count, cells in counts.items():
        for each in one.templates:
            slots = each.slots + (mark, *each.slots) * (count - 1)
            growth = len(slots) - len(each.slots) + each.growth
            templates.append(replace(each, slots=slots, growth=growth, weight=each.weight * cells))
    templates.sort(key=lambda template: len(template.slots))
    return TemplateSet((*one.pools, (separator,)), tuple(templates))
