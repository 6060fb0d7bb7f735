"""Text on a terminal, as wide as it is."""

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Line:
    """A sentence, the sign that it begins with, and the style of both."""

    text: str
    style: str = ""
    sign: str = ""


def print_hanging(console: Console, before: str, text: str, style: str = "") -> None:
    """Prints `text` behind `before` (markup), its further lines indented as its first.

    Where no terminal reads it, it stays one line: what searches a log finds whole sentences.
    """
    head, tail = Text.from_markup(before), Text(text, style)
    if not console.is_terminal:
        console.print(head + tail, highlight=False, soft_wrap=True)
        return
    grid = Table.grid(padding=0)
    grid.add_column(width=head.cell_len, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(head, tail)
    console.print(grid)


def print_lines(console: Console, lines: list[Line], label: str, indent: int) -> None:
    """Prints `label` and, behind or below it, the lines from the column `indent` on."""
    for number, line in enumerate(lines):
        before = f"[bold]{label:<{indent}}[/]" if number == 0 else " " * indent
        sign = f"[{line.style}]{line.sign}[/] " if line.style and line.sign else f"{line.sign} " if line.sign else ""
        print_hanging(console, before + sign, line.text, line.style)
