"""Random changes of files and of JSON values, for tests that must survive them."""

import json
import random
from typing import Any

NUMBERS = (0, -1, 1, 0.5, 2**31, 2**53, 2**53 + 1, 2**62, 2**63, -(2**63) - 1, 10**30, 1e308)
ODD: list[Any] = [
    *("", "\x00", "\x1b[2J", "\u202eabc", "x" * 5_000, "../../etc/passwd", "=1+1", "ä" * 300, "🙂"),
    *(*NUMBERS, True, None, [], {}, [[]], {"a": {}}, [None] * 50, {"\x00": 1}),
]


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Change 1 to 6 places: overwrite, remove, repeat or cut off a few bytes."""
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) or 1)
        kind = rng.randrange(5)
        if kind == 0:
            data = data[:at] + rng.randbytes(rng.randint(1, 6)) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + data[at + rng.randint(1, 60) :]
        elif kind == 2:
            data = data[:at] + data[at : at + rng.randint(1, 60)] * 2 + data[at + 60 :]
        elif kind == 3:
            data = data[:at] + rng.choice([b"\xff" * 4, b"\0" * 8, b'"', b"\n", b","]) + data[at:]
        else:
            data = data[: len(data) - rng.randint(0, 100)]
    return data


def mutate_json(value: Any, rng: random.Random) -> Any:
    """Change one value somewhere inside, or replace, repeat or remove a member."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        name = rng.choice(list(value))
        kind = rng.randrange(8)
        if kind == 0:
            return {other: each for other, each in value.items() if other != name}
        if kind == 1:
            return value | {str(rng.choice(ODD))[:50]: rng.choice(ODD)}
        return value | {name: mutate_json(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], mutate_json(value[at], rng), *value[at + rng.randrange(2) :]]
    return rng.choice([*ODD, str(value)[::-1], [value], {"x": value}])


def random_body(example: Any, rng: random.Random) -> bytes:
    """Return a request body: a changed example, sometimes not even JSON."""
    value = example
    for _ in range(rng.randint(1, 4)):
        value = mutate_json(value, rng)
    data = json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    return mutate_bytes(data, rng) if rng.random() < 0.1 else data
