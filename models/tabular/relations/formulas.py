"""Formulas that identify relations in a table and that clients read."""

from typing import TYPE_CHECKING

from models.tabular.relations.keyed.numbers import describe_factor
from models.tabular.relations.kinds import DATE_SUMS, GIVES_TEXT, SUMS

if TYPE_CHECKING:
    from models.tabular.relations.relation import Relation


def formula(relation: "Relation") -> str:
    """Return the formula of a relation, such as `net + tax = total`, or with ~ for exceptions."""
    exact = _exact_formula(relation)
    if not relation.exceptions:
        return exact
    for sign, near in (("=", "~"), ("<=", "<~"), ("->", "~>"), ("≈", "~")):
        if exact.endswith(f" {sign} {relation.last}"):
            exact = f"{exact.removesuffix(f'{sign} {relation.last}')}{near} {relation.last}"
    return exact


def _exact_formula(relation: "Relation") -> str:
    *sources, last = relation.columns
    if relation.kind in ("order", "distinct"):
        return f"{sources[0]} {'<=' if relation.kind == 'order' else '!='} {last}"
    if relation.kind == "decimals":
        return f"decimals({sources[0]}) of {last}"
    if relation.kind in (*SUMS, *DATE_SUMS, "date_bound"):
        signs = {"sum": "=", "date_sum": "=", "rounded_sum": "≈", "date_bound": "<="}
        sign = signs.get(relation.kind, "~")
        return f"{_sum(relation)} {sign} {last}"
    if relation.kind == "weighted_sum":
        return f"{_weighted_sum(relation)} = {last}"
    if relation.kind == "valid_date":
        return f"valid_date({', '.join(relation.columns)})"
    if relation.kind == "date_part":
        return f"{relation.part}({', '.join(sources)}) = {last}"
    if relation.kind in ("step", *GIVES_TEXT):
        source = ", ".join(sources)
        source = f"{relation.part}({source})" if relation.part else source
        return f"{source} -> {last}"
    if relation.kind == "linear" and relation.factor == -1 and relation.offset > 0:
        return f"{relation.offset:.6g} - {sources[0]} = {last}"
    terms = {
        "linear": sources[0],
        "clock_time": " + ".join(sources),
        "product": " * ".join(sources[:2]) + _rest(relation),
        "ratio": " / ".join(sources),
        "factor": _keyed_product(relation),
        "offset": _plus_or_minus(relation).join((f"offset({sources[0]})", *sources[1:])),
        "elapsed": f"{relation.part}({' - '.join(reversed(sources))})",
    }
    if relation.kind == "clock_time":
        return f"{terms[relation.kind]} = {last}"
    has_factor = relation.factor != 1 and not relation.part
    factor = f"{relation.factor:.6g} * " if has_factor else ""
    return f"{factor}{terms[relation.kind]}{_added(relation.offset)} = {last}"


def _added(number: float, name: str = "") -> str:
    """Return a number that is added to a formula, or that times a column; nothing for 0."""
    factor = f" * {name}" if name else ""
    return f" {'+' if number > 0 else '-'} {abs(number):.6g}{factor}" if number else ""


def _plus_or_minus(relation: "Relation") -> str:
    return " - " if -1 in relation.signs else " + "


def _keyed_product(relation: "Relation") -> str:
    """Return the factor of a key times other columns, and the column that is added to it."""
    key, *others = relation.columns[:-1]
    count = len(relation.factor_forms)
    factors = map(describe_factor, relation.factor_forms, others)
    added = "".join(f" + {name}" for name in others[count:])
    return f"{' * '.join((f'factor({key})', *factors))}{added}"


def _rest(relation: "Relation") -> str:
    """Return the column that is added to a product, or subtracted from it."""
    signs = zip(relation.signs, relation.columns[2:-1], strict=False)
    return "".join(f" {'+' if sign > 0 else '-'} {name}" for sign, name in signs)


def _sum(relation: "Relation") -> str:
    terms = list(zip(relation.term_signs, relation.columns[:-1], strict=True))
    if relation.offset:
        terms.append((1 if relation.offset > 0 else -1, f"{abs(relation.offset):.6g}"))
    added, subtracted = ([name for s, name in terms if s == sign] for sign in (1, -1))
    return " - ".join([" + ".join(added), *subtracted])


def _weighted_sum(relation: "Relation") -> str:
    weights, names = relation.values, relation.columns[:-1]
    if not relation.offset and set(weights) == {1 / len(weights)}:
        return f"({' + '.join(names)}) / {len(names)}"
    others = map(_added, weights[1:], names[1:])
    return f"{weights[0]:.6g} * {names[0]}{''.join(others)}{_added(relation.offset)}"
