"""Generated identifiers that follow the form of the table."""

import re
import unicodedata
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.identifiers.codes.code_lists import split_codes
from models.tabular.identifiers.columns import IdColumn
from models.tabular.identifiers.date_texts import Dates
from models.tabular.identifiers.kinds import FITTERS
from models.tabular.identifiers.people.person_names import name_locale
from models.tabular.identifiers.things.numbered import numbered_names
from models.tabular.identifiers.things.things import fit_things
from models.tabular.identifiers.words.library_words import names
from models.tabular.identifiers.words.words import in_ascii, in_case

FIRST, LAST = ("Anna", "Ben", "Carla", "David"), ("Braun", "Fischer", "Klein", "Lang", "Vogel")
PEOPLE = [f"{a} {b}" for a in FIRST for b in LAST]


def random_texts(pattern: str, count: int = 200) -> list[str]:
    """Return texts with random characters: 9 for digits, A and a for letters, h for 0 to f."""
    rng = np.random.default_rng(3)
    choices = {
        "9": "0123456789",
        "A": "ABCDEFGHJKLM",
        "a": "abcdefghijklm",
        "h": "0123456789abcdef",
    }
    return ["".join(rng.choice([*choices.get(c, c)]) for c in pattern) for _ in range(count)]


def fresh(values: list[str], count: int, kind: str | None = None, seed: int = 3) -> list[str]:
    column = IdColumn.fit("id", pa.string(), pa.array(values, pa.string()), kind=kind)
    restored = IdColumn.from_json({"name": "id", **column.to_json()}, pa.string())
    generated: list[str] = restored.values(seed, np.arange(count)).to_pylist()
    assert column.values(seed, np.arange(count)).to_pylist() == generated
    return generated


@pytest.mark.parametrize(
    ("table_ids", "pattern"),
    [
        (["7590-VHVEG", "5575-GNVDE", "0012-AAZQB"], r"\d{4}-[A-Z]{5}"),
        (["C-00017", "C-99102"], r"C-\d{5}"),
        (["0af3", "99bc", "12de"], r"[0-9a-f]{4}"),
        ([], r"\d{8}"),
        (random_texts("DE99 9999 9999 9999 9999 99"), r"DE\d\d( \d{4}){4} \d\d"),
        (random_texts("hhhhhhhh-hhhh-4hhh-hhhh-hhhhhhhhhhhh"), r"[0-9a-f]{8}-[0-9a-f]{4}-4.{21}"),
        (random_texts("A-AA 999"), r"[A-Z]-[A-Z]{2} \d{3}"),
        (random_texts("+48 30 9999999"), r"\+48 30 \d{7}"),
        (random_texts("99:99:hh:hh:hh:hh"), r"([0-9a-f]{2}:){5}[0-9a-f]{2}"),
    ],
)
def test_text_ids_follow_the_pattern_of_the_table_without_repeats(
    table_ids: list[str], pattern: str
) -> None:
    ids = fresh(table_ids, 900)
    assert len(set(ids)) == 900
    assert all(re.fullmatch(pattern, text) for text in ids)


def test_all_parts_of_a_long_id_vary() -> None:
    ids = fresh(random_texts("hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh"), 500)
    for position in (0, 9, 20, 30, 35):
        assert len({text[position] for text in ids}) == 16


@pytest.mark.parametrize("count", [25, 2_000])
def test_an_exhausted_pattern_gets_longer(count: int) -> None:
    ids = fresh(["a1", "a2", "a7"], count)
    assert len(set(ids)) == count
    assert all(re.fullmatch(r"a\d+", text) for text in ids)


def test_consecutive_numbers_are_continued() -> None:
    assert fresh([f"C{i}" for i in range(1, 301)], 2) == ["C301", "C302"]
    assert fresh([f"M{i:05}-x" for i in range(100)], 1) == ["M00100-x"]
    groups = fresh([f"{'AB'[i % 2]}-{i}" for i in range(100)], 100)
    assert {text[0] for text in groups} == {"A", "B"}
    assert sorted(int(text[2:]) for text in groups) == list(range(100, 200))


def test_integer_ids_continue_above_the_largest() -> None:
    id_column = IdColumn.fit("id", pa.int32(), pa.array([5, 900, 7], pa.int32()))
    ids = id_column.values(3, np.array([0, 4]))
    assert ids.equals(pa.array([901, 905], pa.int32()))


def test_scattered_integers_get_new_numbers_of_the_same_length() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers(100_000, 1_000_000, 80)
    column = IdColumn.fit("no", pa.int64(), pa.array(numbers))
    ids = column.values(3, np.arange(5_000))
    assert ids.type == pa.int64()
    assert len(ids.unique()) == 5_000
    assert {len(str(number)) for number in ids.to_pylist()} == {6}


def test_ids_are_missing_as_often_as_in_the_table() -> None:
    values = [None if i % 3 == 0 else f"M{1000 + i}" for i in range(300)]
    column = IdColumn.fit("id", pa.string(), pa.array(values))
    generated = column.values(3, np.arange(3_000))
    assert generated.null_count == pytest.approx(1_000, abs=100)
    assert len(generated.drop_null().unique()) == len(generated) - generated.null_count


@pytest.mark.parametrize("kind", [None, "quantity", *FITTERS])
def test_a_column_without_values_stays_without(kind: str | None) -> None:
    column = IdColumn.fit("id", pa.string(), pa.nulls(3, pa.string()), kind=kind)
    assert column.values(1, np.arange(4)).null_count == 4


def test_names_of_people_are_names_and_never_those_of_the_table() -> None:
    names = fresh(PEOPLE, 3_000, "person")
    assert len(set(names)) == 3_000
    assert not set(names) & set(PEOPLE)
    assert all(re.fullmatch(r"[^\W\d_]+ [^\W\d_]+", name) for name in names)
    mean_length = sum(map(len, PEOPLE)) / len(PEOPLE)
    assert sum(map(len, names)) / len(names) == pytest.approx(mean_length, rel=0.2)


def test_titles_of_names_are_kept() -> None:
    people = [f"{b}, {('Mr', 'Mrs')[i % 2]}. {a}" for i, a in enumerate(FIRST * 3) for b in LAST]
    names = fresh(people, 500, "person")
    assert all(re.fullmatch(r"[^\W\d_]+, (Mr|Mrs)\. [^\W\d_]+", name) for name in names)


def test_names_are_unique_beyond_the_combinations_of_the_pool() -> None:
    column = IdColumn.fit("name", pa.string(), pa.array(PEOPLE), kind="person")
    indices = np.arange(400_000, 402_000)
    both = [*column.values(1, np.arange(2_000)).to_pylist(), *column.values(1, indices).to_pylist()]
    assert len(set(both)) == 4_000


@pytest.mark.parametrize("people", [["Anna", "Ben", "Carla"] * 9, [*LAST, "De Vries"] * 9])
def test_names_of_one_word_repeat_instead_of_getting_initials(people: list[str]) -> None:
    names = fresh(people, 5_000, "person")
    assert all(re.fullmatch(r"[^\W\d_]{2,}( [^\W\d_]{2,})?", name) for name in names)
    assert sum(" " in name for name in names) < 0.25 * len(names)
    assert len(set(names)) > 100


def test_emails_are_addresses_at_shared_or_example_domains() -> None:
    people = [f"{a}.{b}@{d}".lower() for a in FIRST for b in LAST for d in ("x.de", "mail.com")]
    people += [f"own{i}@private{i}.org" for i in range(10)]
    emails = fresh(people, 2_000, "email")
    assert len(set(emails)) == 2_000
    assert not set(emails) & set(people)
    domains = {email.partition("@")[2] for email in emails}
    assert {"x.de", "mail.com"} <= domains
    assert not any("private" in domain for domain in domains)


def test_ip_addresses_are_valid_and_stay_in_the_common_networks() -> None:
    octets = np.random.default_rng(1).integers(0, 256, (200, 2))
    table = [f"192.168.{a}.{b}" for a, b in octets]
    addresses = fresh(table, 1_000, "ip")
    assert all(address.startswith("192.168.") for address in addresses)
    assert all(0 < int(octet) < 255 for address in addresses for octet in address.split("."))
    column = IdColumn.fit("ip", pa.string(), pa.array(table), kind="ip")
    many = column.values(1, np.arange(70_000)).to_pylist()
    assert len(set(many)) == 70_000
    assert all(len(address.split(".")) == 4 for address in many)


def test_names_of_hosts_among_ip_addresses_do_not_make_these_invalid() -> None:
    table = [f"203.0.113.{i % 250 + 1}" for i in range(200)]
    for texts in (table, table + ["backup.example.com", "-"] * 20):
        addresses = [text for text in fresh(texts, 500, "ip") if text not in texts[200:]]
        octets = [octet for address in addresses for octet in address.split(".")]
        assert len(octets) == 4 * len(addresses) >= 1_500
        assert all(0 <= int(octet) < 255 for octet in octets)


def test_streets_and_urls_keep_their_common_words() -> None:
    streets = [f"{n} {s} {t}" for n in range(1, 40) for s in LAST for t in ("Street", "Road")]
    assert all(
        re.fullmatch(r"\d+ .+ (Street|Road)", text) for text in fresh(streets, 300, "street")
    )
    urls = [f"https://www.shop.com/{a}/{b}.html" for a in FIRST for b in random_texts("aaaa", 30)]
    generated = fresh(urls, 300, "url")
    assert all(re.fullmatch(r"https://www\.shop\.com/\w+/\w+\.html", url) for url in generated)
    assert not set(generated) & set(urls)


def test_numbers_of_houses_do_not_count_up() -> None:
    streets = [f"{n} {s} Ave" for n in range(1, 60) for s in ("Oak", "Elm", "Main")]
    numbers = [int(text.split()[0]) for text in fresh(streets, 300, "street")]
    assert min(numbers) < 60


THINGS = [
    f"{first} {second} of {third}"
    for first in ("Green", "Kranth", "Velmor", "Old")
    for second in ("House", "Ostrel", "Bridge", "Tarnow", "Garden")
    for third in ("Jorvik", "Melbrack", "Winter")
]


def test_names_of_things_are_new_combinations_of_shared_and_public_words() -> None:
    names = fresh([*THINGS, "Old Schlomberg of Winter"], 300)
    assert all(re.fullmatch(r"[A-Z][a-z]+ [A-Z][a-z]+ of [A-Z][a-z]+", name) for name in names[:40])
    known = {word for name in THINGS for word in name.split()}
    assert {"Ostrel", "Tarnow"} & {word for name in names for word in name.split()}
    assert {name.split()[0] for name in names} | {name.split()[3] for name in names} <= known
    assert not any("Schlomberg" in name for name in names)


def test_few_names_keep_the_words_of_their_pattern_at_their_places() -> None:
    places = ["Tarnow", "Velmor", "Ostrel", "Jorvik", "Melbrack", "Kranth", "Schlom", "Arbent"]
    races = [f"{a} Grand Prix" for a in places] + [f"Gran Premio de {a}" for a in places]
    names = fresh(races, 100)
    assert all(re.fullmatch(r"(\w+ )+Grand Prix|Gran Premio de( \w+)+", name) for name in names)
    assert not any(place in name for place in places for name in names)


def test_a_word_of_two_names_is_not_kept_unless_it_is_public() -> None:
    names = [f"{word} {i % 7}" for i, word in enumerate(THINGS)] + ["Qwyzzle one", "Qwyzzle two"]
    assert not any("Qwyzzle" in name for name in fresh(names, 1_000))
    assert not any("one" in name for name in fit_things(names, 5).pools)


def test_one_word_names_are_coined_in_the_spelling_of_the_column() -> None:
    places = [
        f"{a}{b}" for a in ("Lan", "Mor", "Bel", "Tar", "Nor") for b in ("wick", "ham", "ford")
    ]
    names = fresh(places, 200)
    assert not set(names) & set(places)
    assert all(re.fullmatch(r"[A-Z][a-z]+( [A-Z][a-z]+)*", name) for name in names)


def test_names_in_other_scripts_have_their_letters() -> None:
    starts = (
        "\u041c\u043e\u0441",
        "\u0412\u043e\u043b",
        "\u0414\u043e\u043d",
        "\u041d\u0435",
        "\u041a\u0430",
    )
    ends = ("\u043a\u0432\u0430", "\u0433\u0430", "\u0432\u0430")
    rivers = [f"{start}{end} \u0440\u0435\u043a\u0430" for start in starts for end in ends]
    names = fresh(rivers, 20)
    assert all(
        re.fullmatch("[\u0410-\u042f][\u0430-\u044f]+ \u0440\u0435\u043a\u0430", name)
        for name in names
    )


def test_codes_of_two_numbers_keep_their_length() -> None:
    codes = [f"{10 + i % 9}-{1000 + i * 13}" for i in range(300)]
    assert all(re.fullmatch(r"\d\d-\d{4}", code) for code in fresh(codes, 300))


def test_codes_of_which_all_combinations_are_used_get_others_of_the_same_form() -> None:
    episodes = [f"S{i // 13 + 1:02}E{i % 13 + 1:02}" for i in range(403)]
    codes = fresh(episodes, 500)
    assert all(re.fullmatch(r"S\d\dE\d\d", code) for code in codes)
    assert len(set(codes) - set(episodes)) > 400


def test_few_cities_become_invented_cities_without_parts_of_real_ones() -> None:
    cities = [f"{name}, {state}" for name in ("Kent", "Lund", "Brno") for state in ("N.Y.", "Kan.")]
    names = fresh(cities * 2, 50, "city")
    assert all(re.fullmatch(r"[A-Z][a-z]+( [A-Z][a-z]+)*", name) for name in names)


def test_words_next_to_codes_are_words() -> None:
    cars = [f"{make} V{i % 4 + 4}" for make in ("Voyager", "Horizon", "Monaco") for i in range(8)]
    words = {name.split()[0] for name in fresh(cars, 30)}
    assert words & {"Voyager", "Horizon", "Monaco"}


def test_several_people_get_names_with_the_words_between_them() -> None:
    pairs = [f"{a} {b} and {b} {a}" for a in FIRST for b in LAST]
    pattern = r"[A-Z][a-z]+ [A-Z][a-z]+ and [A-Z][a-z]+ [A-Z][a-z]+"
    assert all(re.fullmatch(pattern, name) for name in fresh(pairs, 50, "person"))


def test_acronyms_are_not_replaced_by_long_words() -> None:
    names = [f"{a}{b}" if b in "XQ" else f"{a}ville{b}" for a in ("AB", "CD", "EF") for b in "XQab"]
    assert all(len(name) <= 4 for name in fresh(names * 3, 30) if name.isupper())


def test_years_and_numbers_in_names_stay_in_their_range() -> None:
    films = [f"The Film {i % 9} ({1970 + i % 40})" for i in range(200)]
    years = [int(name[-5:-1]) for name in fresh(films, 200)]
    assert (min(years), max(years)) >= (1970, 2000)
    assert max(years) <= 2009


def test_exhausted_templates_leave_room_to_larger_ones_of_usual_length() -> None:
    names = ["Green", "Old", "Winter", "Garden"] * 20 + [f"{a} {b}" for a in FIRST for b in LAST]
    lengths = [len(name) for name in fresh(names, 3_000)]
    assert sum(lengths) / len(lengths) < 2 * max(map(len, names))


def test_what_few_texts_have_in_common_is_not_kept() -> None:
    rare = "Z9-SECRET-7"
    ids = fresh([*random_texts("AA-9999", 300), rare], 2_000)
    assert not any("SECRET" in text for text in ids)


def test_different_seeds_give_different_ids() -> None:
    table = random_texts("AAAA-9999")
    assert not set(fresh(table, 100, seed=1)) & set(fresh(table, 100, seed=2))


def test_new_quantities_have_the_form_order_and_limits_of_the_table() -> None:
    rng = np.random.default_rng(1)
    numbers = [(low, low + size) for low, size in rng.integers(1, 40, (300, 2)).tolist()]
    for low, high in (
        map(int, re.findall(r"[0-9]+", text))
        for text in fresh([f"{low}-{high} cm" for low, high in numbers], 500, "quantity")
    ):
        assert low <= high <= 80
    texts = [
        f"{s:.2f} (n={n})" for s, n in zip(rng.random(300), rng.integers(5, 9, 300), strict=True)
    ]
    assert all(
        re.fullmatch(r"0\.[0-9]{2} \(n=[5-8]\)", text) for text in fresh(texts, 500, "quantity")
    )
    laps = [f"+{i / 7:.3f}" if i % 4 else "DNF" for i in range(200)]
    generated = fresh(laps, 500, "quantity")
    assert 75 < generated.count("DNF") < 175
    assert all(text == "DNF" or re.fullmatch(r"\+[0-9]+\.[0-9]{3}", text) for text in generated)


def test_new_codes_use_the_letters_that_the_table_has() -> None:
    rng = np.random.default_rng(1)
    sequences = ["".join(rng.choice([*"ACGT"], rng.integers(18, 30))) for _ in range(200)]
    assert set("".join(fresh(sequences, 300))) == set("ACGT")
    keys = ["55f14312" + "".join(rng.choice([*"0123456789abcdef"], 6)) for _ in range(200)]
    assert all(re.fullmatch("55f14312[0-9a-f]{6}", key) for key in fresh(keys, 300))


def test_new_places_are_other_cities_in_the_countries_of_the_table() -> None:
    countries = ("France", "Spain", "Norway", "Peru")
    places = [f"Xville{chr(97 + i)}, {countries[i % 4]}" for i in range(24)]
    generated = fresh(places, 200)
    assert {place.partition(", ")[2] for place in generated} == set(countries)
    assert not set(generated) & set(places)


def test_new_texts_of_dates_are_valid_and_in_order() -> None:
    days = [date(2019, 1, 1) + timedelta(days=17 * i % 1_999) for i in range(200)]
    texts = [f"{day},{day + timedelta(days=i % 9)}" for i, day in enumerate(days)]
    pairs = [text.split(",") for text in fresh([*texts, "unread"], 500)]
    assert all(date.fromisoformat(start) <= date.fromisoformat(end) for start, end in pairs)
    assert {start[:4] for start, _ in pairs} == {"2019", "2020", "2021", "2022", "2023", "2024"}


def test_new_names_do_not_mix_scripts() -> None:
    latin = [
        f"Airports in {a}{b}" for a in ("Mala", "Tong", "Zamb") for b in ("wi", "a", "ia", "o")
    ]
    other = [f"مطارات {a}{b}" for a in ("ملا", "تون", "زام") for b in ("وي", "غا", "بيا", "سة")]
    cities = [f"{chr(0x4E00 + i)}{chr(0x5000 + 3 * i)}{'市町村'[i % 3]}" for i in range(60)]
    for name in [*fresh((latin + other) * 3, 300), *fresh([*cities, *FIRST, *LAST], 300)]:
        has_latin = any(c.isalpha() and c < "\u0250" for c in name)
        assert has_latin != any(c >= "\u0600" for c in name)


def test_a_name_of_one_word_is_not_a_function_word() -> None:
    names = [f"{a}{b}ol" for a in ("meth", "eth", "prop", "but") for b in ("an", "en", "yn")] * 2
    names += [f"{i}-Chloro{a}" for i, a in enumerate(("Methane", "Ethane", "Butane") * 12)]
    assert not {"and", "from", "in", "a", "of"} & set(fresh(names, 500))


def test_numbers_without_leading_zeros_get_none() -> None:
    numbers = [f"{i}.0" for i in range(1, 700, 2)]
    assert not [text for text in fresh(numbers, 500) if text.startswith("0")]


NOUNS = [f"{a}{b}" for a in ("Tar", "Vel", "Ost", "Jor", "Mel", "Kra") for b in (
    "now", "mor", "rel", "vik", "brack", "nth", "lom", "ben", "dun", "wick")]  # fmt: skip


def test_function_words_keep_their_places_in_names_of_things() -> None:
    text = "Night River Heart Garden Fire Moon Snow Wind Road Queen Rose Star Stone Wood"
    nouns = text.split()
    joints = ("of the", "with a", "in my", "from the", "white stone", "yellow house", "happy story")
    films = [f"{a} {joints[i % 7]} {nouns[i - 5]}" for i, a in enumerate(nouns)]
    grammar = "of the|with a|in my|from the"
    pattern = rf"[A-Z]\w+ ({grammar}|[a-z]{{5,}} [a-z]{{5,}}) [A-Z]\w+"
    assert all(re.fullmatch(pattern, name) for name in fresh(films, 30))


def test_no_new_name_has_a_word_twice() -> None:
    names = [f"{a} {NOUNS[(i * 7 + 1) % 60]}" for i, a in enumerate(NOUNS * 2)]
    assert all(len(set(name.split())) == 2 for name in fresh(names, 300))


def test_a_column_of_few_words_of_its_own_gets_numbered_names() -> None:
    teams = [
        "Bulls",
        "Kings",
        "Celtics",
        "Raptors",
        "Pelicans",
        "Nuggets",
        "Lakers",
        "Trail Blazers",
    ]
    column = IdColumn.fit("team_name", pa.string(), pa.array(teams))
    assert column.values(1, np.arange(2)).to_pylist() == ["Team 9", "Team 10"]
    column = IdColumn.fit("labels", pa.string(), pa.array([team.lower() for team in teams]))
    assert column.values(1, np.arange(1)).to_pylist() == ["label 9"]


def test_groups_of_hexadecimal_digits_keep_their_form() -> None:
    rng = np.random.default_rng(1)
    flags = [f"U+1F1{a:02X} U+1F1{b:02X}" for a, b in rng.integers(0xE6, 0xFF, (200, 2))]
    assert all(re.fullmatch(r"U\+1F1[0-9A-F]{2} U\+1F1[0-9A-F]{2}", f) for f in fresh(flags, 300))


def test_keys_that_rows_share_repeat_as_often_as_in_the_table() -> None:
    customers = [f"{i % 300:03}-{7919 * (i % 300) % 10_000:04}" for i in range(1_500)]
    assert 160 <= len(set(fresh(customers, 1_000))) <= 240
    assert len(set(fresh(customers[:300], 1_000))) == 1_000


def test_codes_in_urls_are_new_and_keep_their_form() -> None:
    urls = [f"https://www.example.com/title/tt{i * 7919 % 10**7:07}/" for i in range(300)]
    pattern = r"https://www\.example\.com/title/tt\d{7}/"
    assert all(re.fullmatch(pattern, url) for url in fresh(urls, 500, "url"))


def test_codes_of_letters_of_one_length_are_codes() -> None:
    customers = ["ALFKI", "DUMON", "SIMOB", "BONAP", "GROSR", "CONSH", "RANCH", "BERGS", "BLAUS"]
    assert all(re.fullmatch("[A-Z]{5}", code) for code in fresh(customers, 50))


def test_places_stand_only_in_names_that_mostly_have_a_pattern() -> None:
    models = "Ghibli Huracan Granturismo Mulsanne Continental Urus Levante Gallardo Phantom Evora"
    models += " Vantage-S Aventador-S Turbo-S Spyder-S"
    assert fresh(models.split(), 1) == ["Id 15"]


def test_words_in_urls_become_words() -> None:
    urls = [f"https://example.org/wiki/{a}_{b}" for a in FIRST for b in LAST]
    pattern = r"https://example\.org/wiki/[A-Z][a-z]+_[A-Z][a-z]+"
    assert all(re.fullmatch(pattern, url) for url in fresh(urls, 50, "url"))


def test_names_in_chinese_are_numbered() -> None:
    cities = [f"{chr(0x4E00 + i)}{chr(0x5000 + 3 * i)}\u5e02" for i in range(400)]
    assert fresh(cities, 1) == ["Id 401"]


def test_new_cities_have_the_letter_case_of_the_table() -> None:
    cities = [f"{a}{b}" for a in ("KENT", "LUND", "BRNO", "METZ") for b in ("ON", "VILLE", " BAY")]
    assert all(name.isupper() for name in fresh(cities, 30, "city"))


def test_numbered_streets_have_the_endings_of_their_numbers() -> None:
    numbered = ("1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th", "10th", "11th",
                "12th", "13th", "21st", "22nd", "23rd", "31st")  # fmt: skip
    streets = [f"{100 + 7 * i} {numbered[i % 17]} St" for i in range(100)]
    pattern = r"\d+ (\d*1st|\d*2nd|\d*3rd|\d*[04-9]th|1[1-3]th) St"
    assert all(re.fullmatch(pattern, street) for street in fresh(streets, 50, "street"))


def test_keys_of_letters_and_numbers_are_codes() -> None:
    players = ["dominma01", "hoeslj01", "singljo02", "preslal01", "cartech02", "villajo01"]
    assert all(re.fullmatch(r"[a-z]+\d\d", key) for key in fresh(players, 20))


def test_a_name_that_rows_repeat_is_not_shared() -> None:
    names = [*["Velmor Ostrel"] * 20, *THINGS]
    assert not any("Velmor Ostrel" in text for text in fresh(names, 300))


def test_random_suffixes_after_shared_stems_do_not_get_longer() -> None:
    rng = np.random.default_rng(5)
    stems = [f"{initial}{last.lower()}" for initial in "abcd" for last in LAST]
    users = [f"{rng.choice(stems)}{rng.integers(1, 100)}" for _ in range(600)]
    suffixes = [int(re.sub(r"\D", "", user)) for user in fresh(users, 300)]
    assert max(suffixes) < 100
    assert len(set(suffixes)) > 60


def test_numbers_that_count_up_after_several_prefixes_are_continued() -> None:
    codes = [f"{prefix}{number}" for prefix in ("A-", "BC-") for number in range(1, 101)]
    assert all(int(code.split("-")[1]) > 100 for code in fresh(codes, 50))


def test_serial_numbers_after_a_date_keep_valid_dates() -> None:
    rng = np.random.default_rng(5)
    days = [date(2023, 1, 1) + timedelta(days=int(n)) for n in rng.integers(0, 360, 300)]
    codes = [f"ORD-{day:%Y%m%d}-{i % 60 + 1:04}" for i, day in enumerate(days)]
    generated = fresh(codes, 400)
    assert len(set(generated)) == 400
    for code in generated:
        match = re.fullmatch(r"ORD-(\d{8})-(00\d\d)", code)
        assert match is not None
        assert date(2022, 12, 31) < date.fromisoformat(match[1]) < date(2024, 1, 1)


def test_names_in_slugs_stay_slugs() -> None:
    slugs = [f"{a}-{b}".lower() for a in FIRST for b in LAST]
    column = IdColumn.fit("id", pa.string(), pa.array(slugs), kind="person")
    last = column.values(3, np.arange(10**6, 10**6 + 50)).to_pylist()  # with initials
    generated = [*fresh(slugs, 2_000, "person"), *last]
    assert all(re.fullmatch(r"[a-z]+(?:-[a-z]+)+", slug) for slug in generated)
    assert not set(generated) & set(slugs)


@pytest.mark.parametrize(
    ("streets", "pattern"),
    [
        (["Wohlgemutstr. {}", "Lindenstr. {}", "Im Bachweg {}"], r"(\w+str\.|Im \w+weg) \d+"),
        (["Kungsgatan {}", "Industrivägen {}"], r"\w+(gatan|vägen) \d+"),
        (["ul. Chabrowa {}", "al. Jana {}"], r"(ul|al)\. \w+ \d+"),
        (["{}, rue Colas", "{}, avenue Gilles"], r"\d+, (rue|avenue) \w+"),
    ],
)
def test_streets_keep_the_words_of_their_country(streets: list[str], pattern: str) -> None:
    addresses = [street.format(10 + i) for i, street in enumerate(streets)]
    assert all(re.fullmatch(pattern, text) for text in fresh(addresses, 80, "street"))


def test_columns_that_a_program_named_get_numbered_items() -> None:
    names = ["Oslo A", "Rome B", "Bern C"]
    assert numbered_names("Unnamed: 0_y", names).ends == (("Item ", "", 1.0),)
    assert numbered_names("stations", names).ends == (("Station ", "", 1.0),)
    assert numbered_names("countries", names).ends == (("Country ", "", 1.0),)
    assert numbered_names("species", names).ends == (("Species ", "", 1.0),)


def test_names_without_blanks_do_not_get_any() -> None:
    parts = [("red", "health", "house", "public"), ("market", "road", "water", "city")]
    names = [f"{a}_{b}" for a in parts[0] for b in parts[1]]
    assert not any(" " in name for name in fresh(names * 3, 400))


def test_lists_of_numbers_do_not_get_letters() -> None:
    rng = np.random.default_rng(3)
    lists = [",".join(map(str, rng.integers(1, 10**6, 1 + i % 6))) for i in range(200)]
    assert all(re.fullmatch(r"[\d,]+", text) for text in fresh(lists, 300))


def test_family_names_stay_before_given_names() -> None:
    people = [f"{b.upper()} {a.upper()}" for a in FIRST for b in LAST]
    families = set(in_ascii(in_case(names(name_locale(people))[1], "upper")))
    new = fresh(people, 60, "person")
    assert sum(name.split()[0] in families for name in new) > 50


def test_dates_at_the_end_of_codes_stay_valid() -> None:
    codes = [f"{4_000 + i * 37}_2017{i % 12 + 1:02}{i % 28 + 1:02}" for i in range(120)]
    for code in fresh(codes, 300):
        number, _, day = code.partition("_")
        assert number.isdigit()
        assert date.fromisoformat(day).year == 2017


@pytest.mark.parametrize("locale", ["hi_IN", "bn_BD", "ta_IN", "th_TH", "ar_AA", "he_IL"])
def test_new_people_have_names_in_the_script_of_the_column(locale: str) -> None:
    given, family = names(locale)
    people = [f"{given[i % 20]} {family[i % 13]}" for i in range(120)]
    new = fresh(people, 60, "person")
    assert {name.split()[0] for name in new} <= {*given}
    assert not {*new} & {*people}


def test_vocalized_names_are_names_of_their_language() -> None:
    given, family = names("ar_AA")
    people = ["".join(c + "\u064e" * c.isalpha() for c in f"{a} {family[3]}") for a in given[:40]]
    assert {name.split()[0] for name in fresh(people, 40, "person")} <= {*given}


def test_initials_stay_in_the_script_of_the_column() -> None:
    given, family = names("ta_IN")
    people = [f"{given[i % 20][0]}. {family[i % 30]}" for i in range(120)]
    assert all(
        re.fullmatch(r"[\u0b80-\u0bff]\. [\u0b80-\u0bff]+", n) for n in fresh(people, 40, "person")
    )


def test_names_with_decomposed_accents_keep_their_form() -> None:
    people = [unicodedata.normalize("NFD", f"Zoé {name} Émile") for name in names("fr_FR")[1][:60]]
    assert all(len(name.split()) == 3 for name in fresh(people, 40, "person"))
    streets = [unicodedata.normalize("NFD", f"Bäckerstraße {i}") for i in range(60)]
    assert all(re.fullmatch(r"\w+straße \d+", text) for text in fresh(streets, 40, "street"))


def test_new_words_of_scripts_with_marks_begin_with_letters() -> None:
    given, family = names("or_IN")
    things = [f"{given[i % 90]} {family[i % 70]}" for i in range(400)]
    assert all(word[0].isalpha() for text in fresh(things, 200) for word in text.split())
    assert all(len(text.split()) == 2 for text in fresh(things, 200))


@pytest.mark.parametrize("locale", ["zh_CN", "zh_TW", "ja_JP", "ko_KR"])
@pytest.mark.parametrize("blank", ["", " ", "\u3000"])
def test_east_asian_names_have_the_family_name_first_and_other_given_names(
    locale: str, blank: str
) -> None:
    given, family = names(locale)
    people = [f"{family[i % 30]}{blank}{given[i % 25]}" for i in range(80)]
    new_people = fresh(people, 200, "person")
    assert not set(new_people) & set(people)
    assert len(set(new_people)) == 200
    shape = [(name.startswith(family), blank in name) for name in new_people]
    assert set(shape) == {(True, True)}
    longest = max(map(len, people))
    assert sum(len(name) <= longest for name in new_people) > 190


@pytest.mark.parametrize("form", ["+7800{:04}000", "+7 800 {:04}-00-00", "(030) {:04} 00"])
def test_phone_numbers_do_not_get_more_digits(form: str) -> None:
    phones = [form.format(7_919 * i % 9_973) for i in range(30)]
    new_phones = fresh(phones, 20_000, "phone")
    assert {len(phone) for phone in new_phones} == {len(phones[0])}
    assert len(set(new_phones)) == 20_000
    assert all(phone.startswith(form[:3]) for phone in new_phones)


def test_units_of_distances_stay_after_their_numbers() -> None:
    towns = ["BROOME", "DAMPIER", "EXMOUTH", "PORT HEDLAND", "MARBLE BAR", "SHAY GAP", "KARRATHA"]
    winds = [
        "N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW",
        "NNW",
    ]  # fmt: skip
    ends = ["", ", WA", " OF TOWN", " (FELT)", ", OFF COAST"]
    places = [
        f"{towns[i % 7]}, {7 * i + 2}{' ' * (i % 2)}KM {winds[i % 16]}{ends[i % 5]}"
        for i in range(250)
    ]
    new_places = fresh(places, 300)
    assert all(re.search(r"\d ?KM\b", place) for place in new_places)


@pytest.mark.parametrize("dot", ["", "."])
@pytest.mark.parametrize("locale", ["en_US", "tr_TR"])
def test_family_names_with_initials_are_never_those_of_a_large_table(locale: str, dot: str) -> None:
    family = names(locale)[1]
    people = [f"{family[i * 7 % len(family)]}, {chr(65 + i % 23)}{dot}" for i in range(3_000)]
    people[:30] = [person.replace(",", " Jr.,") for person in people[:30]]  # 1 %
    generated = fresh(people, 800, "person")
    assert not set(generated) & set(people)
    assert all(re.fullmatch(r"[^\W\d_]+, [A-Z]" + re.escape(dot), name) for name in generated)


def test_new_initials_after_family_names_look_like_the_others() -> None:
    people = [f"{last}, {chr(65 + i)}" for i, last in enumerate(LAST * 4)]
    assert all(re.fullmatch(r"\w+,( [A-Z])+", name) for name in fresh(people, 20_000, "person"))


def test_juniors_do_not_become_other_titles() -> None:
    people = [f"{last}{' Jr.' * (i < 5)}, {chr(65 + i)}" for i, last in enumerate(LAST * 5)]
    titles = {name.partition(",")[0].partition(" ")[2] for name in fresh(people, 300, "person")}
    assert titles == {"", "Jr."}


@pytest.mark.parametrize("rank", ["", "Trooper ", "Sergeant "])
def test_suffixes_of_people_stay_suffixes(rank: str) -> None:
    first, last = names("en_US")
    suffixes = ["", "", "", ", Jr.", ", Sr."]
    people = [
        f"{rank}{first[i % 90]} {chr(65 + i % 26)}. {last[i % 70]}{suffixes[i % 5]}"
        for i in range(600)
    ]
    generated = fresh(people, 300, "person" if not rank else None)
    ends = {name.partition(",")[2] for name in generated}
    assert ends == {"", " Jr.", " Sr."}
    assert all(re.fullmatch(rank + r"\w+ [A-Z]\. \w+(, [JS]r\.)?", name) for name in generated)


def test_numbers_of_people_are_no_family_names() -> None:
    first, last = names("en_US")
    people = [f"{first[i % 90]} {last[i % 70]}{[' III', ''][i % 3 > 0]}" for i in range(600)]
    generated = fresh(people, 300, "person")
    assert 50 < sum(name.endswith(" III") for name in generated) < 150
    assert all(name.split()[1] in last for name in generated)


def test_words_of_phrases_with_codes_stay() -> None:
    phrases = [f"{i} TIMES PER {unit}" for i in range(1, 9) for unit in ("DAY", "WEEK", "MONTH")]
    phrases += [f"EVERY {i} WEEKS" for i in range(2, 9)] + [f"Q{i}H" for i in range(2, 25)]
    pattern = r"\d+ TIMES PER (DAY|WEEK|MONTH)|EVERY \d+ WEEKS|Q\d+[A-Z]+"
    assert all(re.fullmatch(pattern, text) for text in fresh(phrases, 60))
    units = [f"{i}.5 to {i + 2}.5 g/L" for i in range(12)] + [f"{i} to {i} ng/mL" for i in range(9)]
    assert {re.sub(r"[\d. ]+", "", text) for text in fresh(units, 100)} <= {"tog/L", "tong/mL"}


def test_a_word_of_a_phrase_that_two_texts_share_does_not_stay() -> None:
    phrases = [f"{i} ABCDE {word}" for i, word in enumerate(random_texts("AAAA", 40))]
    generated = fresh([*phrases, "7 ABCDE XQXQ", "8 ABCDE XQXQ"], 400)
    assert not [text for text in generated if text.endswith("XQXQ")]


@pytest.mark.parametrize("form", ["A{0}X/{1} {2}", "{0} 7{1}-{2} K{1}"])
def test_names_of_people_in_a_few_codes_do_not_stay(form: str) -> None:
    common = ("MILLER", "SMITH", "JONES", "BROWN", "GARCIA", "DAVIS", "CLARK", "LEWIS")
    people = [common[i % 8] for i in range(240)] + ["ZBIGNY"] * 9
    texts = [form.format(i * 997, i % 7, person) for i, person in enumerate(people, 20)]
    generated = fresh(texts, 600)
    assert not [text for text in generated if "ZBIGNY" in text]
    assert any(name in text for text in generated for name in common)


def test_shared_words_after_postal_codes_stay_whole() -> None:
    towns = ("Kiel", "Köln", "Bonn", "Trier", "Mainz", "Ulm")
    texts = [f"{20_000 + i * 997} {towns[i % 6]}" for i in range(60)]
    generated = fresh([*texts, "31000 Xantenbach"], 300)
    assert all(re.fullmatch(rf"\d{{5}} ({'|'.join(towns)})", text) for text in generated)
    assert len({text[:5] for text in generated}) > 200


def test_codes_with_words_may_have_icons() -> None:
    """Fonts have icons in the area of characters for private use."""
    texts = [f"{20_000 + i * 997} {('Kiel', 'Bonn')[i % 2]}" for i in range(60)]
    assert len(fresh([*texts, "\ue000 77 Kiel"], 300)) == 300


def test_codes_with_a_word_of_their_own_have_no_word_of_the_table() -> None:
    own = [word.title() for word in random_texts("Aaaaa", 60)]
    assert not {
        text[6:] for text in fresh([f"{20_000 + i * 997} {w}" for i, w in enumerate(own)], 300)
    } & {*own}


@pytest.mark.parametrize(
    ("form", "between"),
    [
        ("%m/%d/%Y", " - "),
        ("%d.%m.%Y", "-"),
        ("%Y/%m/%d", " to "),
        ("%-m/%-d", "\uff5e"),
        ("%Y-%m-%d", " \u2013 "),
        ("%d/%m/%Y", " al "),
    ],
)
def test_new_ranges_of_dates_are_valid_and_in_order(form: str, between: str) -> None:
    days = [date(2021, 1, 3) + timedelta(days=7 * i) for i in range(50)]
    weeks = [
        f"{d:{form}}{between}{d + timedelta(days=3 + i % 5):{form}}" for i, d in enumerate(days)
    ]
    plain = form if "Y" in form else form.replace("-", "")
    for text in fresh(weeks, 300):
        start, end = (datetime.strptime(day, plain).date() for day in text.split(between))  # noqa: DTZ007
        assert 3 <= (end - start).days % 365 <= 7
        assert f"{start:{form}}{between}{end:{form}}" == text


def test_ranges_of_numbers_are_no_dates() -> None:
    assert (
        Dates.fit([f"{i % 12 + 1}/{i % 7 + 1}-{i % 9 + 2}/{i % 11 + 1}" for i in range(60)]) is None
    )
    assert Dates.fit([f"{i % 12 + 1}.{i % 30}-{i % 12 + 2}.{i % 30}" for i in range(60)]) is None


def test_family_names_before_given_names_stay_there_without_capitals() -> None:
    given, family = names("en_US")
    texts = [f"{family[2 * i]} {given[3 * i]}{' K' * (i % 4 == 0)}" for i in range(120)]
    new = [text.split()[:2] for text in fresh(texts, 300, "person")]
    assert sum(first in family and last in given for first, last in new) > 290
    usual = [f"{given[3 * i]} {family[2 * i]}" for i in range(120)]
    new = [text.split()[:2] for text in fresh(usual, 300, "person")]
    assert sum(first in given and last in family for first, last in new) > 290


def test_several_blanks_of_one_name_do_not_stay() -> None:
    first, second = ("Grand", "Red", "Blue", "Old"), ("Wolf", "Star", "Paper", "King")
    new = fresh([*(f"{a} {b}" for a in first for b in second), "Grand  Wolf  Old & Star"], 300)
    assert not any("  " in name for name in new)


def test_lists_of_codes_have_codes_of_the_form_of_single_ones() -> None:
    codes = [f"LP-{100 + i * 37 % 900}-2014-{i * i % 601:05}" for i in range(120)]
    cells = [*codes[:80], *(",".join(codes[i : i + 2 + i % 3]) for i in range(80, 110))]
    new = fresh(cells, 2_000)
    assert len(set(new)) == 2_000
    assert all(
        re.fullmatch(r"LP-\d{3}-2014-\d{5}(,LP-\d{3}-2014-\d{5}){0,3}", text) for text in new
    )
    assert sum("," in text for text in new) / len(new) == pytest.approx(30 / 110, abs=0.05)
    mixed = [*codes[:80], *(f"{code}, see note" for code in codes[80:])]
    assert split_codes(mixed) is None


def test_random_characters_of_one_length_stay_as_long_even_if_they_look_like_words() -> None:
    codes = ["4ehyrb2b", "ywjme0ck", "2iui6kwa", "er5tgqaf", "i7uoeanx", "musgffq3", "fgjccl7x"]
    codes += [code[::-1] for code in codes]
    generated = fresh(codes, 100)
    assert all(re.fullmatch("[0-9a-z]{8}", code) for code in generated)
    assert len(set(generated)) == 100


def test_spanish_people_are_spanish_although_english_knows_their_family_names() -> None:
    people = [f"{a} {b}" for a in ("Hernán", "Agustina", "Mariano") for b in ("Castro", "Ruiz")]
    assert name_locale([*people, "Felipe Gómez", "Olivia López"]) == "es_ES"
    assert name_locale(["John Castro", "Mary Ruiz", "David Smith"]) == "en_US"
