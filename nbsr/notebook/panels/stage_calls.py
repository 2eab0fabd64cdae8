"""The calls behind the stages as text: a program that runs wherever the frame is called `df`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nbsr.expression import Constraints, Expression, Vocabulary

__all__ = ["Calls", "Shape", "Wishes"]

_NOT_IN_COMMENTS = re.compile(r"[^ -~\u00a1-\uffff]")


@dataclass(frozen=True)
class Wishes:
    """What a law may hold, as for `Constraints.build`; operators None: all that the network knows."""

    operators: str | tuple[str, ...] | None
    max_complexity: int
    forbid: tuple[str, ...]
    require: tuple[str, ...]

    def constraints(self, vocabulary: Vocabulary, known: tuple[str, ...] | None = None) -> Constraints:
        """
        Raises:
            UsageError: they cannot be read, or no law meets them.
        """
        operators = known if self.operators is None else self.operators
        return Constraints.build(vocabulary, operators, self.max_complexity, self.forbid, self.require)


@dataclass(frozen=True)
class Shape:
    """How tokens are drawn: see `nbsr.generate.stepwise.next_token`."""

    max_length: int = 32
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __str__(self) -> str:
        return (
            f"max_length={self.max_length}, temperature={self.temperature!r}, top_k={self.top_k}, "
            f"top_p={self.top_p!r}"
        )


@dataclass(frozen=True)
class Calls:
    """The texts for one table.

    table: the lines that make it; model: the network's name; seconds: that a search may take.
    """

    table: tuple[str, ...]
    model: str
    wishes: Wishes
    seed: int
    seconds: float

    # -- encode

    def bits(self, what: str) -> str:
        """what: the number, in Python."""
        imports = ["from nbsr.model import spelled_bits", *["import numpy as np"] * what.startswith("np.")]
        body = [f"sign, exponent, fraction = spelled_bits({what}, model.config.bits)"]
        return self._asking(imports, body, encoded=False)

    def odds(self) -> str:
        return self._asking(
            ["from nbsr.model import odds_of_operators"], ["odds = odds_of_operators(model, encoding)"]
        )

    def look(self) -> str:
        return self._asking(
            ["from nbsr.model import look_at"], ["look = look_at(model, table.inputs, table.response)"], encoded=False
        )  # fmt: skip

    def shuffle(self, times: int) -> str:
        return self._asking(
            ["import numpy as np", "import torch", "from nbsr.model import look_at"],
            [
                f"order = np.random.default_rng({[self.seed, times]}).permutation(len(table))",
                "shuffled = encode_table(model, table.inputs[order], table.response[order])",
                "of_table = float((shuffled.memory - encoding.memory).abs().max())",
                "",
                "# encode_table sorts the rows by the target first; so hand them to the encoder in disorder, too",
                "near = look_at(model, table.inputs, table.response).prepared",
                f"places = np.random.default_rng({[self.seed, times]}).permutation(near.rows.shape[1])",
                "with torch.inference_mode():",
                "    mixed = model.encode(near.taken(torch.from_numpy(places)[None]))",
                "    of_rows = float((mixed - model.encode(near)).abs().max())",
                "",
                "# another table: the inputs in another order, the targets not",
                "broken = encode_table(model, table.inputs[order], table.response)",
                "of_broken = float((broken.memory - encoding.memory).abs().max())",
            ],
        )

    # -- decode; `prefix` is the law so far, `spelled` the same as a formula

    def choice(self, prefix: tuple[int, ...], spelled: str, shape: Shape) -> str:
        return self._decoding(
            ["from nbsr.generate.stepwise import next_token"],
            [f"choice = next_token(policy, prefix, vocabulary, constraints, {shape})"],
            prefix, spelled,
        )  # fmt: skip

    def draw(self, prefix: tuple[int, ...], spelled: str, shape: Shape, draws: int) -> str:
        return self._decoding(
            ["import numpy as np", "from nbsr.generate.stepwise import next_token"],
            [
                f"choice = next_token(policy, prefix, vocabulary, constraints, {shape})",
                f"token = choice.drawn(np.random.default_rng({[self.seed, draws]}))",
            ],
            prefix, spelled,
        )  # fmt: skip

    def complete(self, prefix: tuple[int, ...], spelled: str, shape: Shape, draws: int) -> str:
        return self._decoding(
            ["import numpy as np", "from nbsr.generate.stepwise import completed"],
            [
                f"random = np.random.default_rng({[self.seed, draws]})",
                f"law = completed(policy, prefix, vocabulary, constraints, random, {shape})",
            ],
            prefix, spelled,
        )  # fmt: skip

    def beam(self, prefix: tuple[int, ...], spelled: str, shape: Shape, width: int) -> str:
        options = f"width={width}, results={width}, max_length={shape.max_length}"
        return self._searching(
            ["from nbsr.generate.beam import beam"],
            [f"found = laws_of(beam(task, {options}))"],
            prefix, spelled,
        )  # fmt: skip

    def mcts(self, prefix: tuple[int, ...], spelled: str, shape: Shape, simulations: int) -> str:
        options = f"simulations={simulations}, max_length={shape.max_length}"
        return self._searching(
            ["from nbsr.generate.mcts import mcts", "from nbsr.refine import refine, warm"],
            [
                _WARM,
                "",
                "",
                "def fit(batch):",
                "    return refine(",
                "        batch.tokens, table, vocabulary, restarts=batch.restarts, max_steps=batch.steps,",
                f"        seed={self.seed},",
                "    )",
                "",
                "",
                f"found = laws_of(mcts(task, {options}), fit)",
            ],
            prefix, spelled,
        )  # fmt: skip

    # -- refine and score, which ask no network

    def refine(self, laws: Sequence[Expression], methods: tuple[str, ...], restarts: int, steps: int) -> str:
        options = f"method=method, restarts={restarts}, max_steps={steps}, seed={self.seed}"
        return self._fitting(
            ["from nbsr.refine import refine, warm"],
            laws,
            [
                "fits = {",
                f"    (number, method): refine(np.array([law]), table, vocabulary, {options})",
                "    for number, law in enumerate(laws)",
                f"    for method in {methods!r}",
                "}",
            ],
        )

    def path(self, law: Expression, restarts: int, steps: int) -> str:
        return self._fitting(
            ["from nbsr.expression import Expression", "from nbsr.refine import Problem, trajectory, warm"],
            [law],
            [
                f"law = Expression(laws[0], (np.nan,) * {len(law.constants)}, vocabulary)",
                "problem = Problem.of(table.inputs, table.response, table.weights)",
                f"path = trajectory(law, problem, restarts={restarts}, steps={steps}, seed={self.seed})",
            ],
        )

    def score(self, laws: Sequence[Expression], parsimony: float) -> str:
        names = "RULES, effective_rows, pareto_front, pick, score"
        return self._fitting(
            ["from nbsr.refine import refine, warm", f"from nbsr.score import {names}"],
            laws,
            [
                "longest = max(map(len, laws))",
                "tokens = np.array([(*law, *[0] * (longest - len(law))) for law in laws])",
                f"fits = refine(tokens, table, vocabulary, seed={self.seed})",
                "complexity = vocabulary.complexity[tokens].sum(axis=1)",
                "constants = (tokens == 1).sum(axis=1)",
                f"value = score(fits.fvu, complexity, parsimony={parsimony!r})",
                "front = pareto_front(fits.fvu, complexity)",
                "rows = effective_rows(len(table), table.weights)",
                "picks = {",
                f"    rule: pick(fits.fvu, complexity, rows, constants, rule, parsimony={parsimony!r})",
                "    for rule in RULES",
                "}",
                'picked = picks["parsimony"]',
            ],
        )

    # -- what the texts share

    def _asking(self, imports: list[str], body: list[str], encoded: bool = True) -> str:
        lines = [*self.table, f"model = nbsr.models.load({self.model!r})"]
        if encoded:
            lines.append("encoding = encode_table(model, table.inputs, table.response)")
            imports = [*imports, "from nbsr.model import encode_table"]
        return _joined(imports, [*lines, *body])

    def _decoding(self, imports: list[str], body: list[str], prefix: tuple[int, ...], spelled: str) -> str:
        wishes = self.wishes
        operators = "model.config.operators" if wishes.operators is None else repr(wishes.operators)
        given = f"{operators}, {wishes.max_complexity}, {wishes.forbid!r}, {wishes.require!r}"
        return self._asking(
            [*imports, "from nbsr.expression import Constraints", "from nbsr.model import Policy"],
            [
                "vocabulary = nbsr.Vocabulary(table.names)",
                f"constraints = Constraints.build(vocabulary, {given})",
                "policy = Policy(model, encoding, vocabulary)",
                f"prefix = {prefix!r}{_comment(spelled)}",
                *body,
            ],
        )

    def _searching(self, imports: list[str], body: list[str], prefix: tuple[int, ...], spelled: str) -> str:
        return self._decoding(
            [
                *imports,
                "from nbsr.generate.base import Task, seconds_left",
                "from nbsr.generate.stepwise import laws_of",
            ],
            [
                "task = Task(",
                "    table.inputs, table.response, table.weights, vocabulary, constraints, next_token=policy,",
                f"    seed={self.seed}, left=seconds_left({self.seconds}), forced=(prefix,),",
                ")",
                *body,
            ],
            prefix, spelled,
        )  # fmt: skip

    def _fitting(self, imports: list[str], laws: Sequence[Expression], body: list[str]) -> str:
        lines = [
            *self.table,
            "vocabulary = nbsr.Vocabulary(table.names)",
            "laws = [",
            *(f"    {law.tokens!r},{_comment(law.infix())}" for law in laws),
            "]",
            _WARM,
        ]
        return _joined([*imports, "import numpy as np"], [*lines, *body])


_WARM = "warm(background=False)  # compiles the kernels of refinement, once"


def literal(value: float) -> str:
    """A number as Python text, also where it is not finite."""
    return repr(value) if np.isfinite(value) else f'float("{value}")'


def _comment(text: str) -> str:
    """A comment of one line, whatever the columns are called."""
    return f"  # {_NOT_IN_COMMENTS.sub('?', text)}"


def _joined(imports: list[str], body: list[str]) -> str:
    """A program: plain imports first, those from one module on one line."""
    plain = {line for line in imports if line.startswith("import ")}
    names: dict[str, set[str]] = {}
    for line in imports:
        if line not in plain:
            module, _, what = line.removeprefix("from ").partition(" import ")
            names.setdefault(module, set()).update(what.split(", "))
    others = [f"from {module} import {', '.join(sorted(names[module]))}" for module in sorted(names)]
    return "\n".join([*sorted(plain), *[""] * bool(plain), "import nbsr", *others, "", *body])
