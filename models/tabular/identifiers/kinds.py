"""Templates of each kind of identifier: codes, words, names of people, addresses."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from string import ascii_lowercase, ascii_uppercase

from models.tabular.identifiers.codes.code_lists import repeat_codes, split_codes
from models.tabular.identifiers.codes.code_words import shared_words, title_word_tokens
from models.tabular.identifiers.codes.dates import dated_codes
from models.tabular.identifiers.codes.paths import fit_paths
from models.tabular.identifiers.patterns import IPV4
from models.tabular.identifiers.people import person_names
from models.tabular.identifiers.people.east_asian_names import best_locale, fit_east_asian_names
from models.tabular.identifiers.places import street_names
from models.tabular.identifiers.places.city_regions import EXTRA
from models.tabular.identifiers.templates import Pool, TemplateBuilder, TemplateSet
from models.tabular.identifiers.things.thing_words import MIN_OWN_WORDS
from models.tabular.identifiers.things.things import fit_things
from models.tabular.identifiers.tokens import (
    MIN_COVERAGE,
    MIN_SHARED_COUNT,
    MIN_SHARED_FRACTION,
    NAME_KINDS,
    Token,
    Tokens,
    code_tokens,
    fit_templates,
    shape_coverage,
)
from models.tabular.identifiers.words import library_words
from models.tabular.identifiers.words import words as id_words
from models.tabular.identifiers.words.word_letters import without_marks

MAX_LOCALE_TEXTS = 1_000  # that show the language of names
MIN_EAST_ASIAN = 0.5  # share of the texts with a known family name
MIN_IN_WORDS = 0.7  # share of the letters of words with codes, as in `Voyager V6`
MIN_PHONES = 10**6  # combinations of the last digits
MIN_VOWELS = 0.28  # share of the letters of words; random letters have fewer
NO_VALUES: Sequence[Tokens] = [(Token("00000000", "9"),)]  # of a column without any value
_WORD = re.compile(
    r"[^\W\d_][a-z\u00df-\u024f]{2,}|[A-Z]{2,} [A-Z]{3,}|[A-Z]{5,}|[^\W\d_\x00-\u024f]{2,}"
)
_NUMBERED_STEM = re.compile(r"[a-z]+[0-9]{2,}")
_ACRONYM = re.compile(r"[A-Z]{1,6}")
_LONG_WORD = re.compile(r"[^\W\d_]{3,}")
_IPV4_NETWORK = re.compile(r"\d+\.\d+")
_IPV4 = re.compile(IPV4)


def fit_codes(texts: Sequence[str], min_value_count: int) -> TemplateSet | None:
    """Fit codes, or names of things if the texts consist of words; None if these do not suffice."""
    if not texts:
        return fit_templates(NO_VALUES, {})
    if is_wordy(texts):
        return fit_things(texts, min_value_count)
    dated = None if min_value_count else dated_codes(texts)
    if dated is not None:
        return fit_templates(*dated)
    if (lists := split_codes(texts)) is not None:
        codes_of_all, counts, separator = lists
        one = fit_codes(codes_of_all, min_value_count)
        return one and repeat_codes(one, counts, separator)
    codes, pools = title_word_tokens(texts, min_value_count) or (code_tokens(texts), {})
    words = shared_words(codes, min_value_count)
    return fit_templates(codes, pools, min_value_count, kept_words=words)


def _fit_rests(texts: Sequence[str], min_value_count: int) -> TemplateSet:
    """Fit the rests of codes, whose marks stay where other columns are inserted."""
    return fit_templates(code_tokens(texts), {}, min_value_count)


def is_wordy(texts: Sequence[str]) -> bool:
    """Return True if most texts have words that can be pronounced, and few digits."""
    texts = list(map(without_marks, texts))
    if all(map(_ACRONYM.fullmatch, texts)) and len(set(map(len, texts))) == 1:
        return False  # codes of letters
    if all(map(_NUMBERED_STEM.fullmatch, texts)):
        return False  # keys such as dominma01
    mixed = sum(bool(re.search(r"[0-9][A-Za-z]|[A-Za-z][0-9]", text)) for text in texts)
    if 2 * mixed >= len(texts) and _have_one_length(texts):
        return False  # random characters, such as i7u34n0x, some of which look like words
    wordy = sum(bool(_WORD.search(text)) for text in texts)
    letters = [c for text in texts for c in text.casefold() if c.isalpha()]
    digits = sum(c.isdigit() for text in texts for c in text)
    latin = [c for c in letters if c < "\u0250"]
    vowels = sum(c in "aeiouyäöüáéíóúàèìòùâêîôûåæøœãõ" for c in latin)
    in_words = sum(len(word) for text in texts for word in _LONG_WORD.findall(text))
    has_words = 2 * wordy > len(texts) and digits < len(letters)
    has_words = has_words and (2 * mixed < len(texts) or in_words > MIN_IN_WORDS * len(letters))
    return has_words and vowels >= MIN_VOWELS * len(latin)


def _have_one_length(texts: Sequence[str]) -> bool:
    """Return True for single words of equal length, which names of things are not by chance."""
    are_single = len(texts) >= MIN_SHARED_COUNT and not any(map(str.isspace, "".join(texts)))
    return are_single and len(set(map(len, texts))) == 1


def _fit_emails(texts: Sequence[str], min_value_count: int) -> TemplateSet:
    tokens = [id_words.email_tokens(text) for text in texts]
    return fit_templates(
        tokens, id_words.email_pools(), min_value_count, extra=tuple("0123456789"), growth=-2
    )


def _fit_persons(texts: Sequence[str], min_value_count: int) -> TemplateSet:
    east_asian, share = best_locale(texts[:MAX_LOCALE_TEXTS])
    if share >= MIN_EAST_ASIAN:
        templates = fit_east_asian_names(texts, east_asian, min_value_count)
        if templates is not None:
            return templates
    locale = person_names.name_locale(texts[:MAX_LOCALE_TEXTS])
    pools = person_names.name_pools(locale)
    given = person_names.are_given_names(texts[:MAX_LOCALE_TEXTS], locale)
    is_reversed = person_names.are_family_first(texts[:MAX_LOCALE_TEXTS], locale)
    tokens = [person_names.name_tokens(t, given=given, family_first=is_reversed) for t in texts]
    form = " {}."
    if person_names.are_family_with_initials(texts[:MAX_LOCALE_TEXTS]):
        pools |= person_names.unseen_family_pools(texts, locale)
        have_dots = 2 * sum(text.endswith(".") for text in texts) > len(texts)
        form = form if have_dots else " {}"  # such as Perez, E J
    if all(map(str.isascii, texts)):
        pools = {kind: id_words.in_ascii(pool) or pool for kind, pool in pools.items()}
    if all(text.islower() and " " not in text for text in texts):
        form = max("-_.", key="".join(texts).count) + "{}"  # such as jean-kemp
    letters = ascii_lowercase if form[0] != " " else ascii_uppercase
    initials = tuple(map(form.format, letters))
    templates = fit_templates(tokens, pools, min_value_count, extra=initials)
    single = sum(_num_names(each) < 2 for each in tokens)
    return replace(templates, repeats=2 * single > len(tokens))


def _num_names(tokens: Tokens) -> int:
    """Return how many names and initials a person's name has, without titles."""
    kinds = (*NAME_KINDS, "initial", "A", "a")
    return sum(token.kind.startswith(kinds) for token in tokens)


def _fit_phones(texts: Sequence[str], min_value_count: int) -> TemplateSet:
    """Fit phone numbers, whose number of digits does not grow."""
    return fit_templates(code_tokens(texts), {}, min_value_count, min_capacity=MIN_PHONES)


def _fit_streets(texts: Sequence[str], min_value_count: int) -> TemplateSet:
    tokens = [street_names.street_tokens(text) for text in texts]
    pools = street_names.street_pools(street_names.street_locale(texts), tokens)
    # If all combinations are used, numbers of houses get one more digit.
    begin_with_number = 2 * sum(text[:1].isdigit() for text in texts) > len(texts)
    extra = tuple("123456789") if begin_with_number else tuple("0123456789")
    growth = 0 if begin_with_number else None
    return fit_templates(tokens, pools, min_value_count, extra=extra, growth=growth)


def _fit_ips(texts: Sequence[str], min_value_count: int) -> TemplateSet | None:
    """Fit IPv4 addresses octet by octet, with the networks that are common, or other codes."""
    if not all(map(_IPV4.fullmatch, texts)):
        return fit_codes(texts, min_value_count)
    octets: Pool = tuple(map(str, range(1, 255)))
    counts = Counter(_IPV4_NETWORK.match(text)[0] for text in texts)  # type: ignore[index]
    minimum = max(min_value_count, MIN_SHARED_COUNT, MIN_SHARED_FRACTION * len(texts))
    networks: Pool = tuple(sorted(network for network, n in counts.items() if n >= minimum))
    builder = TemplateBuilder()
    dot: Pool = (".",)
    if networks:
        builder.add([networks, dot, octets, dot, octets], 1.0, 0, dot)
    used = {network.partition(".")[0] for network in networks}
    firsts = tuple(octet for octet in octets[:223] if octet not in used)
    others = [firsts, dot, octets, dot, octets, dot, octets]
    builder.add(others, 0.0 if networks else 1.0, 0, ("",))
    return builder.build()


def _fit_urls(texts: Sequence[str], min_value_count: int) -> TemplateSet:
    pools = id_words.word_pools()
    tokens = [id_words.url_tokens(text) for text in texts]
    if shape_coverage(tokens) < MIN_COVERAGE and (paths := fit_paths(texts, min_value_count)):
        return paths
    extra: Pool = tuple(f"-{word}" for word in pools["lower-1"])
    return fit_templates(tokens, pools, min_value_count, extra=extra)


def _fit_cities(texts: Sequence[str], min_value_count: int) -> TemplateSet:
    """Fit names of cities; few ones do not show a spelling and become invented cities."""
    many = len({word for text in texts for word in text.split()}) >= MIN_OWN_WORDS
    things = fit_things(texts, min_value_count) if many else None
    if things is not None:
        return things
    tokens = [(Token(text, "city"),) for text in texts]
    is_upper = 2 * sum(map(str.isupper, texts)) > len(texts)
    cities, extra = library_words.cities(), EXTRA
    pools = [tuple(map(str.upper, pool)) if is_upper else pool for pool in (cities, extra)]
    return fit_templates(tokens, {"city": pools[0]}, min_value_count, extra=pools[1])


FITTERS: dict[str, Callable[[Sequence[str], int], TemplateSet | None]] = {
    "city": _fit_cities,
    "code": _fit_rests,
    "company": fit_things,
    "email": _fit_emails,
    "person": _fit_persons,
    "phone": _fit_phones,
    "street": _fit_streets,
    "ip": _fit_ips,
    "url": _fit_urls,
}
