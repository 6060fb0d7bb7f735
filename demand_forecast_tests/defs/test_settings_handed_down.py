"""Settings are read once and handed down: what runs has `project.settings`; `SETTINGS` is for declarations.

A declaration is made when the module is imported: a decorator, a schedule, a factory that module-level code calls.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import demand_forecast.defs

FOLDER = Path(next(iter(demand_forecast.defs.__path__)))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def names_of_settings(module: ast.Module) -> set[str]:
    """SETTINGS, and what module-level code calls parts of it without calling anything: X = SETTINGS.automation."""
    names = {"SETTINGS"}
    for statement in module.body:
        if isinstance(statement, ast.Assign) and not any(isinstance(node, ast.Call) for node in ast.walk(statement)):
            read = {node.id for node in ast.walk(statement.value) if isinstance(node, ast.Name)}
            if read & names:
                names |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
    return names


def on_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: decorators and defaults of a function do, its body does not."""
    yield node
    for name, value in ast.iter_fields(node):
        if isinstance(node, FUNCTIONS) and name == "body":
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from on_import(child)


def factories(module: ast.Module) -> set[str]:
    calls = (node.func for node in on_import(module) if isinstance(node, ast.Call))
    return {called.id for called in calls if isinstance(called, ast.Name)}


def offences(text: str) -> list[str]:
    module = ast.parse(text)
    names, made = names_of_settings(module), factories(module)
    found = []

    def look(node: ast.AST, inside: str | None) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Name) and child.id in names and inside:
                found.append(f"{inside}, line {child.lineno}")
            factory = inside is None and getattr(child, "name", None) in made
            if not isinstance(child, FUNCTIONS) or factory:
                look(child, inside)
                continue
            place = getattr(child, "name", "lambda")
            body = child.body if isinstance(child.body, list) else [child.body]
            for part in [*getattr(child, "decorator_list", []), *child.args.defaults]:
                look(ast.Expression(part), inside)
            for part in body:
                look(ast.Expression(part), place)  # type: ignore[arg-type]

    look(module, None)
    return found


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("*.py")), ids=lambda file: str(file.relative_to(FOLDER)))
def test_what_runs_reads_the_settings_of_its_project(file: Path) -> None:
    assert not offences(file.read_text(encoding="utf-8")), "use project.settings here"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@asset(deps=SETTINGS.candidates)\ndef a(project): return project.settings", []),
        ("@asset\ndef a(): return SETTINGS.horizon", ["a, line 2"]),
        ("AUTOMATION = SETTINGS.automation\ndef a(): return AUTOMATION.timezone", ["a, line 2"]),
        ("DAYS = Partitions(SETTINGS.start)\ndef a(): return DAYS.first", []),
        ("def make(name):\n  kind = SETTINGS.kind\n  def b(): return kind\n  return b\nmade = [make('x')]", []),
        ("def make(name):\n  def b(): return SETTINGS.kind\n  return b\nmade = [make('x')]", ["b, line 2"]),
        ("NAMES = {n: 1 for n in SETTINGS.names}\ndef a(): return NAMES", ["a, line 2"]),
        ("LOOK = lambda: SETTINGS.horizon", ["lambda, line 1"]),
        ("def a(days=SETTINGS.days): return days", []),
    ],
)
def test_the_rule_sees_what_it_is_to_see(text: str, expected: list[str]) -> None:
    assert offences(text) == expected
