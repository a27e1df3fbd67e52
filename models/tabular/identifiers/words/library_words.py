"""Words, names of people and names of places from the library Faker, in a fixed order."""

from functools import lru_cache
from typing import Any

from models.tabular.identifiers.templates import Pool
from models.tabular.identifiers.words.word_letters import WORD_PATTERN

DRAWS, POOL_SIZE = 4_000, 500
_SEED = 0  # of the choice of pools


@lru_cache(maxsize=8)
def _faker(locale: str) -> Any:
    from faker import Faker  # slow to import, and most tables have no names

    return Faker(locale, use_weighting=False)


@lru_cache(maxsize=64)
def drawn(locale: str, kind: str) -> Pool:
    """Return different values of a generator of the library, in a fixed order."""
    faker = _faker(locale)
    faker.seed_instance(_SEED)
    if kind == "word":
        return tuple(sorted({w.lower() for w in faker.get_words_list() if w.isascii()}))
    return tuple(dict.fromkeys(str(getattr(faker, kind)()) for _ in range(DRAWS)))


@lru_cache(maxsize=32)
def known_names(locale: str) -> tuple[Pool, Pool]:
    """Return given names and family names of one word, as many as the library has."""
    return tuple(  # type: ignore[return-value]
        tuple(name for name in drawn(locale, kind) if WORD_PATTERN.fullmatch(name))
        for kind in ("first_name", "last_name")
    )


def names(locale: str) -> tuple[Pool, Pool]:
    """Return given names and family names for new values."""
    given, family = known_names(locale)
    return given[:POOL_SIZE], family[:POOL_SIZE]


def cities() -> Pool:
    """Return invented names of cities."""
    return drawn("en_US", "city")[: 2 * POOL_SIZE]


def place_names() -> Pool:
    """Return invented names of places in one word, in lower case."""
    return tuple(city.lower() for city in drawn("en_US", "city") if WORD_PATTERN.fullmatch(city))[
        :POOL_SIZE
    ]
