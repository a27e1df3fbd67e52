"""New cities with their region, such as `Montreal, Canada` and `Portland, OR 97201`.

Countries and states stay, and codes begin as several codes of the same region do. Cities are
invented.
"""

import re
import string
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from models.tabular.identifiers.places.regions import shared_beginnings
from models.tabular.identifiers.templates import Pool, TemplateBuilder, TemplateSet
from models.tabular.identifiers.words import library_words
from models.tabular.identifiers.words.public_words import are_listed

MIN_PLACES, MIN_SHARED = 0.4, 3  # share of such texts; texts with a region that is kept
EXTRA: Pool = (" East", " North", " South")  # after invented cities, when all are used
_PLACE = re.compile(
    r"(?P<city>.+), (?P<region>[^,\d]*[^,\d ])"
    r"(?: (?P<code>\d{3,6}(?:-\d{4})?|[A-Z]\d[A-Z] \d[A-Z]\d))?"
)
_ALPHABETS = (string.digits, string.ascii_uppercase)


class CityText(NamedTuple):
    city: str
    region: str
    code: str  # or ""


def fit_cities_in_regions(texts: Sequence[str]) -> TemplateSet | None:
    """Fit other cities before the countries or states; None if the texts are not such ones."""
    matches = [m for text in texts if (m := _PLACE.fullmatch(text)) and text.count(", ") == 1]
    places = [CityText(m["city"], m["region"], m["code"] or "") for m in matches]
    regions = Counter(place.region for place in places)
    if len(places) < MIN_PLACES * len(texts) or not are_listed(list(regions)):
        return None
    kept = [region for region, n in regions.items() if n >= MIN_SHARED or are_listed([region])]
    if not kept:
        return None
    codes = defaultdict[str, list[str]](list)
    for place in places:
        codes[place.region].append(place.code)
    seen = {place.city for place in places}
    cities = tuple(city for city in library_words.cities() if city not in seen)
    builder = TemplateBuilder()
    for region in kept:
        for shape, same in _by_shape(codes[region]).items():
            mark = f", {region} " if shape else f", {region}"
            builder.add([cities, (mark,), *_code_slots(same)], float(len(same)), 1, EXTRA)
    return builder.build()


def _by_shape(codes: Sequence[str]) -> dict[str, list[str]]:
    """Return the codes with the same classes of characters; those of no code are empty."""
    groups = defaultdict[str, list[str]](list)
    for code in codes:
        groups[re.sub(r"[A-Z]", "A", re.sub(r"\d", "9", code))].append(code)
    return groups


def _code_slots(codes: Sequence[str]) -> list[Pool]:
    """Return the beginnings that several codes share, and any digits or letters after them."""
    if not codes[0]:
        return []
    beginnings: Pool = tuple(text for text, _ in shared_beginnings(codes))
    end = codes[0][len(beginnings[0]) if beginnings else 0 :]
    alphabets = [next((a for a in _ALPHABETS if c in a), c) for c in end]
    return [*([beginnings] if beginnings else []), *(tuple(a) for a in alphabets)]
