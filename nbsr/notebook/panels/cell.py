"""Settings as a `%%regress` cell: what a person would have typed for them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ...operators import ALIASES
from ...table import quoted
from ..grammar import MAGIC

_MOST_NAMED = 12  # inputs that are listed one by one in any case


def word(operator: str) -> str:
    """What people call an operator: `sqrt` for `pow1_2`."""
    if not any(c.isdigit() for c in operator):
        return operator
    return next(
        (alias for alias, name in ALIASES.items() if name == operator and alias.isidentifier()), operator
    )


def named(column: str) -> str:
    """A column as a cell names it: in backticks unless it is a plain name, braces twice."""
    return quoted(column).replace("{", "{{").replace("}", "}}")


def formula(
    target: str,
    transform: str,
    inputs: Sequence[str],
    columns: Sequence[str] = (),
    certain: Collection[str] = (),
) -> str:
    """`target ~ a + b`; where that is shorter and says the same, `target ~ . - c`.

    Arguments:
        transform: one of `TRANSFORMS`, empty for none.
        columns: all that `.` stands for, the target among them; none where it must not be used.
        certain: those of the inputs that must be named, since `.` may leave them out.
    """
    left = named(target) if not transform else f"{transform}({named(target)})"
    chosen = set(inputs)
    away = [name for name in columns if name not in chosen and name != target]
    listed = [name for name in inputs if name in certain]
    if len(inputs) <= _MOST_NAMED or not columns or len(away) + len(listed) >= len(inputs):
        return f"{left} ~ {' + '.join(map(named, inputs))}"
    right = "".join(f" + {named(name)}" for name in listed) + "".join(f" - {named(name)}" for name in away)
    return f"{left} ~ .{right}"


@dataclass(frozen=True)
class Cell:
    """A `%%regress` cell in its parts.

    data: the name of the table; formula: `target ~ inputs`.
    options: by name as on the line, keys: by name as in the body, each with its text; empty ones are left out.
    out: the name of the result.
    """

    data: str
    formula: str
    options: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    out: str = ""

    @property
    def line(self) -> str:
        """What stands behind `%%regress`."""
        told = [f"{name} {value}" for name, value in self.options.items() if value]
        return " ".join([self.data, *told, *([f"-o {self.out}"] if self.out else [])])

    @property
    def body(self) -> str:
        return "\n".join([self.formula, *(f"{name}: {value}" for name, value in self.keys.items() if value)])

    def __str__(self) -> str:
        return f"{MAGIC} {self.line}\n{self.body}"
