"""Forms of numbers, dates, times and durations: texts are read and written unchanged."""

# ruff: noqa: RUF001 - digits of other scripts

import random
from datetime import date, timedelta
from itertools import accumulate

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modalities.tabular.forms.calendar_fields import DAY, SECOND
from modalities.tabular.forms.durations import count_fraction_digits, infer_duration_form
from modalities.tabular.forms.moment_formats import parse_format
from modalities.tabular.forms.moment_inference import infer_moments
from modalities.tabular.forms.number_inference import infer_number_forms
from modalities.tabular.forms.number_patterns import parse_pattern, pattern_of
from modalities.tabular.forms.number_texts import NumberTexts
from modalities.tabular.forms.numbers import NumberForm

NUMBER_TEXTS = {
    "$#,##0.00": ["$2,496.23", "$6.20", "-$5,707,654.00"],
    "$#,##0.00;($#,##0.00)": ["$2,496.23", "($6.29)", "$0.50"],
    "$#,##0.00;$-#,##0.00": ["$2,496.23", "$-6.29", "$0.50"],
    "#,##0": ["6,715,643", "837,817", "453", "-1,234"],
    "#,##0;(#,##0)": ["1,234", "(12,345)", "(5)", "0"],
    "#.##0,00 €": ["1.234,56 €", "-0,50 €", "12.000,00 €"],
    "# ##0,0#": ["1 234,5", "12 345 678,25", "7,1"],
    "#\u202f##0,0": ["1\u202f234,5", "12,5", "3,0"],
    "CHF #'##0.00": ["CHF 1'234.50", "CHF 12.00"],
    "R$ #.##0,00": ["R$ 1.200,00", "R$ 3,50"],
    "#,##,##0": ["12,34,567", "1,00,000", "999"],
    "0.0%": ["59.3%", "9.0%", "0.0%"],
    "0,0 %": ["59,3 %", "9,0 %"],
    "0.000e+00": ["8.530e-02", "9.542e-11"],
    "0.0E+0": ["1.5E+3", "2.0E+4"],
    "@@@@": ["9.695e-07", "0.0853", "12.5"],
    "+0;-0;0": ["+37", "-50", "0"],
    "+0": ["+37", "-50", "+0"],
    "0.00;0.00-": ["12.50", "3.00-", "1.25"],
    "0;\u22120": ["7", "\u22125"],
    "0.##": ["1.5", "2.25", "3", "-4"],
    "#.000": [".275", "1.000", ".301"],
    "+00.0000": ["+32.5364", "-08.1200", "+51.5000"],
    "000.00000": ["086.64449", "107.30000", "-007.12345"],
    "0000.000;-000.000": ["0012.500", "-003.250", "0987.125", "0000.001"],
    "000.0": ["007.5", "112.0"],
    "000,00": ["086,64", "-107,30"],
    "0 kg": ["12 kg", "7 kg"],
    "$0.00[K|M|B]": ["$5.07K", "$1.20M", "$3.00B", "-$12.50K"],
    "0.#[|K|M]": ["950", "1.2K", "12K", "3.4M"],
    "€0,0[ Mio| Mrd]": ["€5,1 Mio", "€1,0 Mrd"],
    "0.0[ MB| GB]": ["1.5 MB", "3.2 GB"],
    "0.#[ms|s]": ["1.5s", "250ms", "999.5ms", "60s"],
    "€0,0 Mio": ["€5,1 Mio", "€12,0 Mio"],
    "#,##0 sq ft": ["1,732 sq ft", "950 sq ft"],
    "$0/hr": ["$72/hr", "$5/hr"],
    "0 Season[s]": ["1 Season", "2 Seasons", "12 Seasons"],
    '0.0"': ['15.6"', '13.3"'],
    "~0": ["~120", "~7"],
    "0.0[%|]": ["155", "18.2%", "0.5%", "1"],
    "0[%|]": ["1550", "18%", "9%"],
    "(#,##0 ratings);(-#,##0 ratings)": ["(1,202 ratings)", "(12 ratings)"],
    "#,##0원": ["1,200원", "950원", "-23,000원"],
    "0円": ["995円", "12000円"],
    "0.00万元": ["18.64万元", "7.10万元"],
    "0.#[|万]": ["950", "1.2万", "23万"],
    "NT$#,##0": ["NT$2,022", "NT$950", "NT$1,002,000"],
    "PKR #,##0": ["PKR 4,966", "PKR 950"],
    "R#,##0.00": ["R5,146.02", "R950.10"],
    "S/. #,##0.00": ["S/. 1,277.39", "S/. 12.00"],
    "Rp #.##0": ["Rp 15.298", "Rp 950", "Rp 1.250.000"],
    "# ##0,00 zł": ["1 234,50 zł", "12,00 zł"],
    "₹#,##0/-": ["₹1,175/-", "₹667/-"],
    "0,- Kč": ["13317,- Kč", "581,- Kč"],
    "CHF 0.-": ["CHF 10407.-", "CHF 565.-"],
    "# ##0:-": ["23 083:-", "646:-"],
    "#,##0;△#,##0": ["1,115", "△2,269", "12"],
    "▲0.0%;▼0.0%": ["▲1.5%", "▼0.8%"],
    "%0.0": ["%18.5", "%3.0"],
    "\u0660": ["\u0661\u0663\u0662", "\u0669"],
    "#\u066c##\u0660\u066b\u0660": [
        "\u0661\u066c\u0662\u0663\u0664\u066b\u0665",
        "\u0669\u066b\u0660",
    ],
    "#,##\u06f0": ["\u06f2,\u06f6\u06f9\u06f2", "\u06f9\u06f5"],
    "₹\u0966.\u0966\u0966": ["₹\u0967.\u096d\u096e", "₹\u0968\u0968.\u0966\u0968"],
    "#，##０．０": ["８，２７１．８", "９．０"],
    "#\u2009##0": ["1\u2009234\u2009567", "89"],
    "@@@@\u0660": ["\u0669.\u0666\u0669\u0665e-\u0660\u0667", "\u0661\u0662.\u0665"],
}
# With more decimals than fit a fixed number of them.
LONG_NUMBER_TEXTS = {
    f"{'@' * 17},#": ["0,007849676054083089", "84.74337369372327".replace(".", ",")],
    f"#.##{'@' * 17} €": ["5.254,0685344515105 €", "0,004954350870919409 €"],
    f"#,##{'@' * 17}": ["6,515.929727227629", "0.004954350870919409"],
    f"{'@' * 17}\u0660\u066b#": [
        "\u0660\u066b\u0660\u0660\u0664\u0669\u0665\u0664\u0663\u0665\u0660\u0668\u0667\u0660\u0669\u0661\u0669\u0664\u0660\u0669",
        "\u0667\u066b\u0665",
    ],
}
NUMBER_TEXTS |= LONG_NUMBER_TEXTS


@pytest.mark.parametrize("pattern", NUMBER_TEXTS)
def test_number_form_is_inferred_and_writes_the_same_texts(pattern: str) -> None:
    texts = pa.array(NUMBER_TEXTS[pattern])
    form = infer_form(texts.to_pylist())
    assert pattern_of(form) == pattern
    assert form.write(form.parse(texts)) == texts
    assert parse_pattern(pattern) == form


def test_noise_of_floating_point_is_not_a_part_of_the_form() -> None:
    form = infer_form([*(f"{40 + i / 7:.5f}" for i in range(20)), "40.760090000000005"])
    assert pattern_of(form) == "0.00000"
    assert infer_form([str(i / 7) for i in range(20)]).significant
    # Most differences of numbers with two decimals have noise.
    changes = [*(repr(round(i * 0.19, 2) - 8.55) for i in range(20)), "-21", "15.5"]
    assert sum(len(text) > 12 for text in changes) > 7
    assert pattern_of(infer_form(changes)) == "0.##"
    assert infer_form([*changes, "33.333333333333336"]).significant
    # Sums of large amounts have 16 digits, too, but fewer decimals.
    sums = [repr(sum((i * 7_919.37, i * 0.1, 0.01 * i))) for i in range(1, 900)]
    assert {len(text.partition(".")[2]) for text in sums} >= {1, 2, 9, 10, 11}
    assert infer_form(sums).max_decimals == 2
    assert infer_form([*sums, "1007601.8512345678"]).max_decimals > 2


def test_noise_of_a_running_balance_is_not_a_part_of_the_form() -> None:
    amounts = [round(7_919.37 * (i % 31) - 5_000.1 * (i % 47), 2) for i in range(3_000)]
    balances = [repr(balance) for balance in accumulate(amounts)]
    assert max(len(text.partition(".")[2]) for text in balances) > 7
    assert pattern_of(infer_form(balances)) == "0.0#"


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ("$0.000000000000000[K|M]", ["$1.12345678901234567K", "$2.12345678901234567M"]),
        ("+000.000000000000000", ["+007.1234567890123456", "+107.1234567890123456"]),
    ],
)
def test_numbers_with_more_decimals_than_a_pattern_has_are_rounded(
    pattern: str, texts: list[str]
) -> None:
    form = infer_form(texts)
    assert pattern_of(form) == pattern
    assert parse_pattern(pattern) == form
    assert form.parse(pa.array(texts)).null_count == 0


@pytest.mark.parametrize(
    "texts",
    [
        ["C1", "C2"],
        ["s1", "s2"],
        ["km5", "km7"],
        ["12A", "14A"],
        ["12K", "14M", "13B"],
        ["$5", "€5"],
        ["10.0.0.1", "10.0.0.2"],
        ["1.2.3", "1.2.4"],
        ["555-1234"],
        ["10-20", "5-6"],
        ["1st", "2nd"],
        ["1/2", "3/4"],
        ["12x4", "3x4"],
        ["007", "08"],
        ["red", "blue"],
        ["R10.12", "R10.13"],
        ["\u0660\u0661", "\u0660\u0662"],
    ],
)
def test_texts_that_only_look_like_numbers_have_no_form(texts: list[str]) -> None:
    assert infer_number_forms(texts, decimal_comma=False) == []


@pytest.mark.parametrize("texts", [["5.5", "7.5", "1.5 kg", "2 kg"], ["5.5 g", "7.5 kHz"]])
def test_units_are_scales_only_of_the_same_unit(texts: list[str]) -> None:
    assert infer_number_forms(texts, decimal_comma=False) == []
    assert infer_form(["5.5 g", "7.5 kg"]).scales == (" g", " kg")


@pytest.mark.parametrize(
    "pattern",
    [
        *["", ",", "abc", "0;0", "0.0.0", "##0", "0;-0.0", "0" * 70, "%d", "#,##0,00", "0;-0;0;0"],
        *["@@@0", "@@@e+00", "@@@.##", "@@@[K|M]", "@@ \u0660"],
    ],
)
def test_invalid_number_pattern_is_not_a_form(pattern: str) -> None:
    assert parse_pattern(pattern) is None


def infer_form(texts: list[str]) -> NumberForm:
    form = infer_number_forms(texts, decimal_comma=False)[0]
    counts = NumberTexts(form)
    counts.add(form.bodies(pa.array(texts))[0].drop_null())
    return counts.complete()


UNITS = ["{}", "${}", "€ {}", "{} €", "{}%", "{} %", "CHF {}", "{} kr", "£{}", "{} km"]
SIGNS = ["-{}", "({})", "{}-", "\u2212{}", "+{}"]
MARKS = [("", "."), (",", "."), (".", ","), (" ", ","), ("\u202f", ","), ("'", ".")]


@st.composite
def number_forms(draw: st.DrawFn) -> NumberForm:
    unit, sign = draw(st.sampled_from(UNITS)), draw(st.sampled_from(SIGNS))
    thousands, decimal = draw(st.sampled_from(MARKS))
    decimals = draw(st.integers(0, 4))
    positive, negative = unit, sign.format(unit)
    if sign == "+{}":
        positive, negative = "+" + unit, "-" + unit
    positive_affixes, negative_affixes = (
        (before, after)
        for before, _, after in (text.partition("{}") for text in (positive, negative))
    )
    return NumberForm(
        positive_affixes,
        negative_affixes,
        positive_affixes,
        thousands,
        decimal=decimal if decimals or decimal == "," else ".",
        min_decimals=draw(st.integers(0, decimals)),
        max_decimals=decimals,
    )


@settings(max_examples=150, deadline=None)
@given(number_forms(), st.integers(0, 2**32))
def test_random_number_form_is_recovered_from_its_texts(form: NumberForm, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - test data
    values = [round(rng.choice([-1, 1]) * 10 ** rng.uniform(-2, 8), 4) for _ in range(200)]
    texts = form.write(pa.array(values))
    inferred = infer_form(texts.to_pylist())
    assert inferred.write(inferred.parse(texts)) == texts
    assert inferred.parse(texts) == form.parse(texts)
    assert parse_pattern(pattern_of(form)) is not None


MOMENT_TEXTS = {
    "%Y-%m-%dT%H:%M|%Y-%m-%d": ["2023-02-27T09:15", "2023-04-04", "2024-01-03T18:05"],
    "%d.%m.%Y %H:%M:%S|%d.%m.%Y": ["27.02.2023 09:15:00", "04.04.2023"],
    "%-m/%-d/%Y": ["2/27/2023", "4/4/2023", "12/3/2023"],
    "%d/%m/%y": ["17/09/23", "27/02/24", "01/01/69"],
    "%Y%m%d": ["20230524", "20240116", "20240518"],
    "%B %-d%o, %Y": ["March 3rd, 2024", "May 11th, 2023", "June 22nd, 2023", "July 1st, 2023"],
    "[ru]%-d %B %Y \u0433.": [
        "3 \u043c\u0430\u0440\u0442\u0430 2024 \u0433.",
        "22 \u0438\u044e\u043b\u044f 2023 \u0433.",
    ],
    "[tr]%-d %B %Y": ["3 \u015eubat 2024", "22 Ekim 2023"],
    "[da]%-d. %B %Y": ["3. marts 2024", "22. maj 2023"],
    "[cs2]%-d. %B %Y": ["1. leden 2010", "30. z\u00e1\u0159\u00ed 2015", "31. prosinec 2004"],
    "[ru2]%~B %Y": [
        "\u042f\u043d\u0432\u0430\u0440\u044c 2020",
        "\u041c\u0430\u0439 2021",
    ],
    "[es]%~B-%Y": ["Enero-2020", "Mayo-2021"],
    "%Y\u5e74%-m\u6708%-d\u65e5": ["2023\u5e748\u670829\u65e5", "2023\u5e7412\u67083\u65e5"],
    "[fa]%Y/%m/%d": ["1404/02/31", "1403/12/30", "1404/04/31"],
    "[fa]%Y-%m-%d %H:%M": ["1404-02-31 10:30", "1403-12-30 23:59"],
    "[fa]%-d %B %Y": [
        "31 \u062a\u06cc\u0631 1404",
        "1 \u0641\u0631\u0648\u0631\u062f\u06cc\u0646 1403",
    ],
    "%b %_d %H:%M:%S": ["Dec  4 09:39:57", "Jan 12 10:00:00"],
    "%-d %b": ["4 Dec", "12 Jan"],
    "%d.%m.%Y": ["28.02.2021", "01.12.2020"],
    "%-d.%-m.%Y": ["28.2.2021", "1.12.2020"],
    "%-m/%-d/%Y %-I:%M:%S %p": ["8/1/2023 2:01:00 PM", "11/29/2024 12:33:00 AM"],
    "%Y/%-m/%-d %-H:%M": ["2024/1/5 7:05", "2024/12/15 17:05"],
    "%d.%m.%Y, %H:%M": ["28.02.2021, 14:05", "01.02.2021, 00:05"],
    "%Y-%m-%dT%H:%M:%S+01:00": ["2023-12-20T04:06:00+01:00", "2023-07-09T00:19:00+01:00"],
    "%Y-%m-%d %H:%M:%SZ": ["2023-12-20 04:06:00Z", "2023-07-09 00:19:00Z"],
    "%a, %d %b %Y %H:%M:%S +0000": ["Mon, 01 Jan 2024 10:00:00 +0000"],
    "%d/%b/%Y:%H:%M:%S -0700": ["10/Oct/2000:13:55:36 -0700"],
    "[\u06f0]%Y/%m/%d": [
        "\u06f2\u06f0\u06f2\u06f4/\u06f0\u06f3/\u06f0\u06f7",
        "\u06f2\u06f0\u06f2\u06f3/\u06f1\u06f1/\u06f2\u06f9",
    ],
    "%d/%b/%y %-I:%M %p": ["04/Nov/23 2:52 AM", "14/Oct/23 10:17 PM"],
    "%Y%m%dT%H%M%SZ": ["20240101T101112Z", "20241231T001112Z"],
    "%Y-%m-%d %24H:%M": ["2024-01-01 08:00", "2024-01-02 24:00"],
    "%d%^b%Y": ["01JAN2020", "15MAR2021"],
    "%d %b %Y": ["05 Mar 2024", "12 Jan 2020"],
    "%B %-d, %Y": ["March 5, 2024", "May 12, 2020"],
    "[de]%-d. %B %Y": ["5. März 2024", "12. Januar 2020"],
    "[fr]%-d %B %Y": ["1 mars 2024", "12 août 2023"],
    "[es]%-d de %B de %Y": ["1 de enero de 2024", "12 de agosto de 2023"],
    "%Y-%m": ["2015-01", "2015-12"],
    "%m/%Y": ["03/2024", "12/2023"],
    "%b %Y": ["Mar 2024", "Feb 2023"],
    "%b-%y": ["Dec-23", "Jan-24"],
    "%YQ%q": ["2010Q1", "2011Q3"],
    "Q%q %Y": ["Q3 2024", "Q1 2023"],
    "%Y-Q%q": ["2024-Q1", "2023-Q4"],
    "%G-W%V": ["2024-W05", "2020-W53"],
    "%a %b %d %H:%M:%S +0000 %Y": ["Tue Apr 13 22:04:35 +0000 2021"],
    "%d %#b %Y": ["16 dec 2020", "01 may 2021"],
    "%Y%m%d%H%M%S": ["20200329080942", "20210329080942", "20200329080943"],
    "%Y-%m-%dT%H:%M:%S%:z[Europe/Berlin]": [
        "2024-01-31T12:00:00+01:00",
        "2024-07-31T12:00:00+02:00",
    ],
    "%Y-%m-%d %H:%M%z[America/New_York]": ["2024-01-31 12:00-0500", "2024-07-31 12:00-0400"],
    "%H:%M": ["23:42", "00:05"],
    "%-I:%M %P": ["1:05 pm", "12:00 am"],
    "%-I:%M %-P": ["1:05 p.m.", "12:00 a.m."],
}


@pytest.mark.parametrize("format", MOMENT_TEXTS)
def test_date_or_time_form_is_inferred_and_writes_the_same_texts(format: str) -> None:
    texts = pa.array(MOMENT_TEXTS[format])
    form = infer_moments(texts.to_pylist())[0].form
    assert form.format == format
    assert form.write(form.parse(texts)) == texts


def test_dates_of_the_persian_calendar_are_those_of_the_gregorian_one() -> None:
    form = parse_format("[fa]%Y/%m/%d")
    assert form is not None
    texts = ["1357/11/22", "1400/01/01", "1403/12/30", "1404/12/30", "1404/07/31", "1404/13/01"]
    days = [
        None if micros is None else date(1970, 1, 1) + timedelta(micros // DAY)
        for micros in form.parse(pa.array(texts)).to_pylist()
    ]
    gregorian = [date(1979, 2, 11), date(2021, 3, 21), date(2025, 3, 20)]
    assert days == [*gregorian, None, None, None]


def test_old_dates_that_the_persian_calendar_does_not_have_are_gregorian() -> None:
    texts = ["1348-10-31", "1349-12-31", "1350-07-31"]
    assert infer_moments(texts)[0].form.format == "%Y-%m-%d"


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(MOMENT_TEXTS)), st.integers(0, 2**32))
def test_random_moments_in_any_form_are_recovered(format: str, seed: int) -> None:
    form = parse_format(format)
    assert form is not None
    rng = random.Random(seed)  # noqa: S311 - test data
    days = [(date(1970, 1, 1) + timedelta(rng.randrange(20_000))) for _ in range(300)]
    micros = pa.array(
        [(day - date(1970, 1, 1)).days * DAY + rng.randrange(1, 86_400) * SECOND for day in days]
    )
    texts = form.write(micros)
    read = form.parse(texts)
    assert read.null_count == 0
    assert form.write(read) == texts
    inferred = infer_moments(texts.to_pylist())
    assert any(each.form.write(each.form.parse(texts)) == texts for each in inferred)


@pytest.mark.parametrize(
    "texts",
    [
        ["2021-02-31"],
        ["10000-01-01"],
        ["2024-13", "2024-14"],
        ["2010/11", "2011/12"],
        ["1/2", "3/4"],
        ["may"],
        ["2024"],
        ["12345678", "23456789", "34567890"],
        ["02340101", "05120202", "08310303"],
        ["12-34-56"],
        ["555-1234"],
    ],
)
def test_texts_that_are_not_dates_have_no_form(texts: list[str]) -> None:
    moments = infer_moments(texts)
    assert all(each.form.parse(pa.array(texts)).null_count == len(texts) for each in moments)


def test_letter_in_place_of_a_digit_is_not_a_date() -> None:
    form = parse_format("%Y-%m-%d")
    assert form is not None
    texts = pa.array(["2024-01-31", "20a4-01-31", "2024/01/31"])
    assert form.parse(texts).is_valid().to_pylist() == [True, False, False]


@pytest.mark.parametrize(
    ("format", "texts"),
    [
        ("[h]:mm:ss", ["26:03:04", "1:02:03", "-0:00:01"]),
        ("[h]:mm:ss.f", ["0:30:12.345", "29:00:00.100"]),
        ("[h]:mm", ["100:05", "20:10"]),
        ("d days hh:mm:ss", ["1 days 02:03:04", "0 days 00:00:01"]),
        ("d days, h:mm:ss", ["1 day, 2:03:04", "3:04:05", "2 days, 0:00:00"]),
        ("d day(s) hh:mm:ss", ["1 day 02:03:04", "03:04:05", "2 days", "1 day", "-00:01:00"]),
        ("d day(s) hh:mm:ss", ["1 day 02:03:04", "-1 days -02:03:04", "12 days 00:00:01"]),
        ("d.hh:mm:ss", ["1.02:03:04", "02:03:04"]),
        ("PT", ["PT26H2M", "PT3M1.5S", "PT0S"]),
        ("P", ["P1DT2H", "PT5M"]),
        ("PT0H0M0S", ["PT1H0M5S", "PT0H3M0S"]),
        ("[m]:ss.f", ["1:26.84", "0:59.10"]),
        ("[mm]:ss.f", ["05:03.78", "12:00.00", "00:24.63"]),
        ("[m:]s.f", ["58.34", "9.80", "0.05", "1:02.11", "61:00.00"]),
        ("[m:]ss.f", ["58.3", "09.8", "1:02.1"]),
        ("[h:]m:ss", ["29:57", "5:07", "0:41", "1:02:11", "26:00:00"]),
        ("[h:]mm:ss.f", ["05:03.78", "52:00.00", "1:04:00.63"]),
        ("[hh:]mm:ss", ["05:07", "44:00", "01:02:11"]),
        ("[h]h [m]m", ["1h 5m", "0h 18m", "30h 0m"]),
        ("[h]h [m]m?", ["2h 50m", "19h", "25h 5m", "45m"]),
        ("[m]m[ss]s", ["44m38s", "5m09s"]),
        ("[h] h [mm] min", ["10 h 15 min", "2 h 05 min"]),
    ],
)
def test_duration_form_is_inferred_and_writes_the_same_texts(format: str, texts: list[str]) -> None:
    form = infer_duration_form(texts)
    assert form is not None
    assert form.format.removesuffix(".f") == format.removesuffix(".f")
    assert (
        form.write(form.parse(pa.array(texts)), count_fraction_digits(texts)).to_pylist() == texts
    )


def test_times_of_day_with_and_without_seconds_are_not_durations() -> None:
    assert infer_duration_form(["9:30", "12:00", "9:30:15"]) is None


def test_two_digit_years_follow_posix() -> None:
    form = parse_format("%y-%m-%d")
    assert form is not None
    full = parse_format("%Y-%m-%d")
    assert full is not None
    texts = full.write(form.parse(pa.array(["68-12-31", "69-01-01"])))
    assert texts.to_pylist() == ["2068-12-31", "1969-01-01"]
