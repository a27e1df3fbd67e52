"""New paths such as `/wiki/view/Budget.html`: shared folders, and other names of their files.

A folder, and an ending in it, is kept if at least three paths have it.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

from models.tabular.identifiers.templates import Pool, TemplateBuilder, TemplateSet
from models.tabular.identifiers.words.words import word_pools

MIN_SHARED = 3  # paths
MAX_PLACES = 200  # of folders and endings
MIN_COVERAGE = 0.5  # share of the paths in folders that are kept
_PATH = re.compile(r"(?P<folder>/(?:.*/)?)(?P<name>[^/]*?)(?P<ending>(?:\.[A-Za-z]\w{0,4})?/?)")
_CAMEL = re.compile(r"(?:[A-Z][a-z]+){2,}")


def fit_paths(texts: Sequence[str], min_value_count: int) -> TemplateSet | None:
    """Return None if too few paths are in folders that others share."""
    places = defaultdict[tuple[str, str], list[str]](list)
    for match in filter(None, map(_PATH.fullmatch, texts)):
        places[match["folder"], match["ending"]].append(match["name"])
    least = max(MIN_SHARED, min_value_count)
    common = sorted(places.items(), key=lambda item: -len(item[1]))[:MAX_PLACES]
    kept = [(place, names) for place, names in common if len(names) >= least]
    if sum(len(names) for _, names in kept) < MIN_COVERAGE * len(texts):
        return None
    pools = word_pools()
    builder = TemplateBuilder()
    for (folder, ending), names in kept:
        seen = {name.casefold() for name in names}
        *first, last = _words(names, pools)
        unseen = tuple(word for word in last if word.casefold() not in seen)
        slots = [(folder,), *first, unseen]
        extra: Pool = tuple(f"-{word}" for word in pools["lower-1"])
        builder.add([*slots, (ending,)], float(len(names)), len(slots), extra)
    return builder.build()


def _words(names: Sequence[str], pools: dict[str, Pool]) -> list[Pool]:
    """Return the pools of the words of a name: two in `WebHome`, otherwise one."""
    if 2 * sum(_CAMEL.match(name) is not None for name in names) > len(names):
        return [pools["title-1"], pools["title-1"]]
    is_title = 2 * sum(name[:1].isupper() for name in names) > len(names)
    return [pools["title-1" if is_title else "lower-1"]]
