"""Checks of the writing guide in CONTRIBUTING.md: docstrings, messages and public names."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = (
    *("app", "modalities", "job_kinds", "core", "worker", "models", "client/semblance"),
    *("bench", "tests"),
)
FILES = sorted(
    path.relative_to(ROOT).as_posix() for folder in CODE for path in (ROOT / folder).rglob("*.py")
)
PRODUCT = tuple(file for file in FILES if not file.startswith(("bench/", "tests/")))

HEADLESS = re.compile(r"(What|How|Of|Whether|Who|Whoever|Whatever)\b")
# "not found" is the field's own term; every other use of the word has a better one.
BANNED_WORDS = re.compile(
    r"\b(told|said|made|(?<!not )found|wanted|known|mine|apart|anew|besides?|whoever|so many"
    r"|as it is|goes with|goes without|stands|lies|comes to|by itself|of its own|turnstile"
    r"|yardstick)\b",
    re.IGNORECASE,
)
BANNED_NAMES = frozenset(
    {"wanted", "found", "made", "told", "said", "mine", "apart", "known", "kept", "taken", "asked"}
    | {"place", "places", "chance", "chances", "ever", "go_on", "life"}
)


@cache
def parse(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text())


@cache
def parse_nodes(file: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(parse(file)))


def find_docstrings(file: str) -> Iterator[tuple[int, str]]:
    for node in parse_nodes(file):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield node.body[0].lineno, docstring


def find_prose(file: str) -> Iterator[tuple[int, str]]:
    """Yield every string with a space between two words."""
    for node in parse_nodes(file):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.search(r"[a-z] [a-z]", node.value)
        ):
            yield node.lineno, node.value


def find_public_names(body: list[ast.stmt]) -> Iterator[tuple[int, str]]:
    """Yield module-level and class-level names, and the parameters of public functions."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield node.lineno, node.name
            yield from find_public_names(node.body)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
            if not node.name.startswith("_"):
                arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
                yield from ((argument.lineno, argument.arg) for argument in arguments)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (
                (node.lineno, target.id) for target in targets if isinstance(target, ast.Name)
            )


def test_docstrings_begin_with_a_noun_or_a_verb() -> None:
    faults = [
        f"{file}:{line} {text.splitlines()[0]}"
        for file in FILES
        for line, text in find_docstrings(file)
        if HEADLESS.match(text)
    ]
    assert not faults, "\n".join(faults)


def test_messages_and_docstrings_avoid_the_banned_words() -> None:
    faults = [
        f"{file}:{line} {match[0]!r} in {text[:80]!r}"
        for file in PRODUCT
        for line, text in find_prose(file)
        if (match := BANNED_WORDS.search(text))
    ]
    assert not faults, "\n".join(faults)


def test_public_names_avoid_the_banned_names() -> None:
    faults = [
        f"{file}:{line} {name}"
        for file in FILES
        for line, name in [(1, Path(file).stem), *find_public_names(parse(file).body)]
        if name.lower() in BANNED_NAMES
    ]
    assert not faults, "\n".join(faults)
