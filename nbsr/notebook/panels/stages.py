"""The four stages of neural symbolic regression by hand: encode a table, decode a law, refine it, score it.

    stages = nbsr.stages(df, "y ~ x1 + x2")      # in a notebook: four tabs
    stages.force("*"), stages.draw(), stages.finish()
    stages.beam(width=8)
    stages.refine(("lm", "bfgs"))
    stages.score(parsimony=0.05).picked

`Stages` holds what was done and needs no page.  Every stage asks a public function of nbsr, and `code` has the call as
text, which with the frame as `df` gives the same numbers anywhere.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbsr import models
from nbsr.errors import UsageError
from nbsr.expression import CONST, FREE, PAD, WILDCARD, Constraints, Expression, Vocabulary, is_complete
from nbsr.expression.legal import why_illegal
from nbsr.generate.base import Proposals, Task, seconds_left
from nbsr.generate.beam import beam
from nbsr.generate.mcts import mcts
from nbsr.generate.stepwise import Choice, Found, completed, laws_of, next_token
from nbsr.network import DEFAULT, explained, find, sparing
from nbsr.notebook.panels.shared import without_traceback
from nbsr.notebook.panels.stage_answers import Branch, Candidate, Number, Refined, Scored, Shuffled
from nbsr.notebook.panels.stage_calls import Calls, Shape, Wishes, literal
from nbsr.refine import METHODS, Fits, Problem, Status, Trajectory, ready, refine, trajectory, warm
from nbsr.score import RULES, effective_rows, pareto_front, pick, score
from nbsr.simplify import canonical
from nbsr.table import Table
from nbsr.threads import torch_alone

if TYPE_CHECKING:
    from nbsr.model import Encoding, Look, Model, Policy

__all__ = ["Stages", "stages"]

_ROWS, _COLUMNS = 1000, 24  # of a larger table: those that most methods of a search look at
_SECONDS = 20.0  # that one press of a button may take
_MOST = 300  # candidates that are kept
_CHOSEN = 3  # of what a search finds, so many are chosen for refinement


class Stages:
    """One table, and what was made of it so far.

    Attributes:
        table: the rows and columns that are worked on.
        notes: sentences about the table.
        vocabulary: the tokens.
        prefix: the law so far, as tokens.
        shape: how the next tokens are drawn, to be replaced by another (`dataclasses.replace(stages.shape, top_k=5)`).
        candidates: the laws that were completed.
        code: by name, the call behind what was asked last, as text that runs where the frame is called `df`.
    """

    def __init__(
        self,
        data: Any,
        formula: str,
        *,
        model: str | Path | None = None,
        operators: Iterable[str] | str | None = None,
        forbid: Iterable[str] | str = (),
        require: Iterable[str] | str = (),
        max_complexity: int = 30,
        seed: int = 0,
    ):
        """
        Arguments:
            data: a frame.
            formula: what to explain, "y ~ x1 + x2".
            model: a network by name or directory; None is the one that comes with nbsr, "none" does without.
            operators, forbid, require, max_complexity: what a law may hold, see `Constraints.build`; by default all
                operators that the network knows.
            seed: of all that is drawn.

        Raises:
            UsageError: the table, the formula or a wish cannot be used.
        """
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise UsageError(f"'seed' is {seed!r}; give a whole number that is not negative.")
        whole = Table.from_frame(data, formula)
        if whole.template is not None:
            raise UsageError("The stages know no templates; list the columns with +, as in 'y ~ x1 + x2'.")
        narrow = whole.screen(_COLUMNS)
        self.table = narrow.sample(_ROWS, seed=int(seed))
        self.notes = list(narrow.notes)
        if len(self.table) < len(narrow):
            self.notes.append(f"The stages work on {_ROWS:,} of the {len(narrow):,} rows, drawn at random.")
        if (self.table.scale != 1).any() or self.table.target_scale != 1:
            self.notes.append(
                "Very large or small columns are divided by powers of two, and constants are of these."
            )
        self.vocabulary = Vocabulary(self.table.names)
        self.seed = int(seed)
        self.prefix: tuple[int, ...] = ()
        self.shape = Shape()
        self.candidates: list[Candidate] = []
        self.code: dict[str, str] = {}
        self._by_key: dict[str, Candidate] = {}
        self._fitted: tuple[tuple[tuple[int, ...], bytes], Fits] | None = (
            None  # which laws, and what came out
        )
        self._draws = self._shuffles = 0
        self._named = model
        self._wishes = Wishes(
            operators if operators is None or isinstance(operators, str) else tuple(operators),
            max_complexity,
            (forbid,) if isinstance(forbid, str) else tuple(forbid),
            (require,) if isinstance(require, str) else tuple(require),
        )
        self._wishes.constraints(self.vocabulary)  # a wish that cannot be read is told at once
        made = [f"table = nbsr.Table.from_frame(df, {formula!r})"]
        if narrow is not whole:
            made.append(f"table = table.screen({_COLUMNS})")
        if self.table is not narrow:
            made.append(f"table = table.sample({_ROWS}, seed={self.seed})")
        name = DEFAULT if model is None else str(model)
        self._calls = Calls(tuple(made), name, self._wishes, self.seed, _SECONDS)

    def __repr__(self) -> str:
        many = len(self.candidates)
        law = self.spelled(self.prefix)
        return f"Stages({self.table.formula!r}, law so far {law!r}, {many} candidate{'s' * (many != 1)})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from nbsr.notebook.panels.stage_page import StagesPage  # ipywidgets, which a program does without

        return (StagesPage(self).widget._repr_mimebundle_() or {}) | {"text/plain": repr(self)}

    # -- the network

    @cached_property
    def _network(self) -> "tuple[Model, Encoding, Policy]":
        place = find(self._named)
        if place is None:
            which = "none comes with this nbsr" if self._named is None else "model 'none' leaves it out"
            raise UsageError(f"This stage asks a network, and {which}; name one, as in model='base'.")
        with _asking():
            from nbsr.model import Policy, encode_table  # loads torch

            network = _loaded(models.find(place))
            encoding = encode_table(network, self.table.inputs, self.table.response)
            return network, encoding, Policy(network, encoding, self.vocabulary)

    @property
    def longest(self) -> int:
        """The most tokens of a law that the network knows."""
        return self._network[0].config.max_length

    @cached_property
    def constraints(self) -> Constraints:
        """What a law may hold."""
        return self._wishes.constraints(self.vocabulary, self._network[0].config.operators)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The columns that the network cannot be told, the least relevant of too many."""
        return tuple(self.table.names[column] for column in self._network[1].left_out)

    # -- encode

    def bits(self, number: str | float | None = None, *, row: int = 0, column: str = "") -> Number:
        """The bits of a number: of one that is given, or of one of the table, scaled as the network reads it.

        Arguments:
            number: a number or the text of one; "nan", "inf" and "-0" have bits, too.
            row, column: of the table, where no number is given; the target is a column, too.

        Raises:
            UsageError: the text is no number, or there is no such row or column.
        """
        if number is not None:
            value, said, shift = _number(number), str(number), 0
            what = literal(value)
        else:
            value, place, shift = self._entry(row, column)
            said = repr(value)
            entry = f"inputs[{row}, {place}]" if place >= 0 else f"response[{row}]"
            what = f"np.ldexp(table.{entry}, {-shift})"
        network = self._network[0]
        from nbsr.model import spelled_bits

        spelled = spelled_bits(float(np.ldexp(value, -shift)), network.config.bits)
        self.code["bits"] = self._calls.bits(what)
        return Number(said, value, shift, *spelled)

    def _entry(self, row: int, column: str) -> tuple[float, int, int]:
        """A number of the table, the place of its column (-1: the target), and its column's power of two."""
        if not 0 <= row < len(self.table):
            raise UsageError(f"The table has rows 0 to {len(self.table) - 1}; there is no row {row}.")
        column, look = column or self.table.names[0], self._look
        if column == self.table.target:
            return float(self.table.response[row]), -1, look.exponents[-1]
        if column not in self.table.names:
            raise UsageError(f"There is no column '{column}'; there are {', '.join(self.columns)}.")
        place = self.table.names.index(column)
        if place not in look.order:
            raise UsageError(
                f"The network is not told column '{column}', which is less relevant than others."
            )
        return float(self.table.inputs[row, place]), place, look.exponents[look.order.index(place)]

    @property
    def columns(self) -> tuple[str, ...]:
        """The inputs and the target."""
        return (*self.table.names, self.table.target)

    def look(self) -> "Look":
        """The rows that the network looks at closely, and the weight that each memory vector gives to each."""
        found = self._look
        self.code["look"] = self._calls.look()
        return found

    @cached_property
    def _look(self) -> "Look":
        network = self._network[0]
        with _asking():
            from nbsr.model import look_at

            return look_at(network, self.table.inputs, self.table.response)

    def odds(self) -> dict[str, float]:
        """How likely the law is to hold each operator, by what the network reads in the table; the likeliest first."""
        network, encoding, _ = self._network
        with _asking():
            from nbsr.model import odds_of_operators

            found = odds_of_operators(network, encoding)
        self.code["odds"] = self._calls.odds()
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))

    def shuffle(self) -> Shuffled:
        """Put the rows into another order, a new one each time, and see whether the code of the table changes."""
        network, encoding, _ = self._network
        near, table = self._look.prepared, self.table
        self._shuffles += 1
        seed = [self.seed, self._shuffles]
        order = np.random.default_rng(seed).permutation(len(table))
        with _asking():
            import torch

            from nbsr.model import encode_table

            shuffled = encode_table(network, table.inputs[order], table.response[order])
            broken = encode_table(network, table.inputs[order], table.response)
            places = torch.from_numpy(np.random.default_rng(seed).permutation(near.rows.shape[1]))
            with torch.inference_mode():
                straight, mixed = network.encode(near), network.encode(near.taken(places[None]))
        pairs = ((shuffled.memory, encoding.memory), (mixed, straight), (broken.memory, encoding.memory))
        differences = [float((one - other).abs().max()) for one, other in pairs]
        self.code["shuffle"] = self._calls.shuffle(self._shuffles)
        return Shuffled(self._shuffles, *differences, size=float(encoding.memory.abs().max()))

    # -- decode

    @property
    def complete(self) -> bool:
        """Whether the law so far is a whole one."""
        return is_complete(self.prefix, self.vocabulary.arities)

    def spelled(self, prefix: Sequence[int]) -> str:
        """A prefix as a formula with `?` in the places that are open, for instance "x1*?"."""
        missing = 1 + sum(self.vocabulary.arities[token] - 1 for token in prefix)
        tokens = (*prefix, *[WILDCARD] * missing)
        return Expression(tokens, (FREE,) * tokens.count(CONST), self.vocabulary).infix()

    def token_name(self, token: int) -> str:
        """A token for people: "c" is a constant, and padding the end."""
        return {PAD: "end", CONST: "c"}.get(token) or self.vocabulary.name(token)

    def choice(self) -> Choice:
        """What may follow the prefix: probabilities before and after the mask, and of what is drawn from.

        Raises:
            UsageError: the law is complete, no law can begin like this, or a setting makes no sense.
        """
        found = self._choice(self.prefix)
        self.code["choice"] = self._calls.choice(self.prefix, self.spelled(self.prefix), self.shape)
        return found

    def _choice(self, prefix: tuple[int, ...], shape: Shape | None = None) -> Choice:
        policy, shape = self._network[2], shape or self.shape
        with _asking():
            return next_token(
                policy, prefix, self.vocabulary, self.constraints, shape.max_length, shape.temperature,
                shape.top_k, shape.top_p,
            )  # fmt: skip

    def force(self, token: str | int) -> str:
        """Put a token behind the prefix, whatever the network thinks of it; answers the law so far.

        Arguments:
            token: an operator, a column, or "c" for a constant where no column is called so; or a token's id.

        Raises:
            UsageError: it is not legal there; the sentence says why.
        """
        if isinstance(token, str):
            constant = token == "c" and token not in self.table.names
            token = CONST if constant else self.vocabulary.id(token)
        if not 0 <= token < self.vocabulary.size:
            raise UsageError(f"There is no token {token}; there are 0 to {self.vocabulary.size - 1}.")
        why = why_illegal(token, self.prefix, self.vocabulary, self.constraints, self.shape.max_length)
        if why:
            raise UsageError(why)
        return self._grown((*self.prefix, token), "by hand")

    def rewind(self, tokens: int = 1) -> str:
        """Take so many tokens back; answers the law that is left.

        Raises:
            UsageError: there is none to take back.
        """
        if not self.prefix:
            raise UsageError("The law is empty, so there is no token to take back.")
        if tokens < 1:
            raise UsageError(f"'tokens' is {tokens}; give a whole number of at least 1.")
        self.prefix = self.prefix[:-tokens]
        return self.spelled(self.prefix)

    def draw(self) -> str:
        """Let the network draw one token; answers the law so far."""
        choice = self._choice(self.prefix)
        self._draws += 1
        token = choice.drawn(np.random.default_rng([self.seed, self._draws]))
        self.code["decode"] = self._calls.draw(
            self.prefix, self.spelled(self.prefix), self.shape, self._draws
        )
        return self._grown((*self.prefix, token), "drawn")

    def finish(self) -> str:
        """Let the network draw tokens until the law is complete; answers it."""
        policy, shape = self._network[2], self.shape
        self._draws += 1
        random = np.random.default_rng([self.seed, self._draws])
        with _asking():
            law = completed(
                policy, self.prefix, self.vocabulary, self.constraints, random, shape.max_length,
                shape.temperature, shape.top_k, shape.top_p,
            )  # fmt: skip
        self.code["decode"] = self._calls.complete(self.prefix, self.spelled(self.prefix), shape, self._draws)
        return self._grown(law, "drawn")

    def tree(self, others: int = 4) -> list[Branch]:
        """The way to the prefix, from the root: at each step the token taken, and the likeliest others."""
        way = []
        for length in range(len(self.prefix) + (not self.complete)):
            masked = self._choice(self.prefix[:length]).masked
            taken = self.prefix[length] if length < len(self.prefix) else None
            order = [token for token in np.argsort(-masked, kind="stable").tolist() if masked[token] > 0]
            rest = [(token, float(masked[token])) for token in order if token != taken][:others]
            way.append(Branch(taken, 1.0 if taken is None else float(masked[taken]), tuple(rest)))
        return way

    def log_prob(self, tokens: Sequence[int]) -> float:
        """The log-probability of tokens under the network and the mask, temperature and the like left aside."""
        plain, total = Shape(self.shape.max_length), 0.0
        for length, token in enumerate(tokens):
            total += float(np.log(max(self._choice(tuple(tokens[:length]), plain).masked[token], 1e-300)))
        return total

    def beam(self, width: int = 8) -> list[Found]:
        """The likeliest laws that begin with the prefix, found by a beam of so many; they become candidates.

        Raises:
            UsageError: the law is complete, no law can begin like this, or the width makes no sense.
        """
        task = self._task("width", width)
        with _asking():
            found = laws_of(beam(task, width=width, results=width, max_length=self.shape.max_length))
        self.code["search"] = self._calls.beam(self.prefix, self.spelled(self.prefix), self.shape, width)
        for place, one in enumerate(found):
            self._keep(one.tokens, f"beam of {width}", one.log_prob, place < _CHOSEN)
        return found

    def mcts(self, simulations: int = 96) -> list[Found]:
        """Laws that begin with the prefix, found by a tree search that refines as it goes; they become candidates.

        Raises:
            UsageError: as `beam`.
        """
        task = self._task("simulations", simulations)
        _compiled()
        fvu: list[float] = []

        def fit(batch: Proposals) -> Fits:
            fits = refine(
                batch.tokens, self.table, self.vocabulary, restarts=batch.restarts, max_steps=batch.steps,
                seed=self.seed,
            )  # fmt: skip
            fvu.extend(fits.fvu.tolist())
            return fits

        with _asking():
            found = laws_of(mcts(task, simulations=simulations, max_length=self.shape.max_length), fit)
        self.code["search"] = self._calls.mcts(
            self.prefix, self.spelled(self.prefix), self.shape, simulations
        )
        best = set(np.argsort(fvu, kind="stable")[:_CHOSEN].tolist())
        for place, one in enumerate(found):
            self._keep(one.tokens, f"tree search of {simulations}", one.log_prob, place in best)
        return found

    def _task(self, name: str, number: int) -> Task:
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
            raise UsageError(f"'{name}' is {number!r}; give a whole number of at least 1.")
        if self.complete:
            raise UsageError("The law is complete, so that nothing can follow; take a token back first.")
        return Task(
            self.table.inputs, self.table.response, self.table.weights, self.vocabulary, self.constraints,
            seed=self.seed, left=seconds_left(_SECONDS), next_token=sparing(self._network[2]), forced=(self.prefix,),
        )  # fmt: skip

    def _grown(self, prefix: tuple[int, ...], source: str) -> str:
        self.prefix = prefix
        if self.complete:
            self._keep(prefix, source, self.log_prob(prefix), True)
        return self.spelled(prefix)

    # -- candidates

    def add(self, text: str) -> Candidate:
        """Make a formula a candidate, its numbers and c0, c1, ... being constants to fit.

        Raises:
            UsageError: it cannot be read.
        """
        law = Expression.parse(text, self.vocabulary, free_constants=True)
        return self._keep(law.tokens, "typed", float("nan"), True)

    def choose(self, numbers: Iterable[int]) -> None:
        """Choose these candidates for refinement, and no others."""
        chosen = set(numbers)
        for number, one in enumerate(self.candidates):
            one.chosen = number in chosen

    @property
    def chosen(self) -> list[int]:
        """The numbers of the candidates that are to be refined."""
        return [number for number, one in enumerate(self.candidates) if one.chosen]

    def forget(self) -> None:
        """Have no candidates."""
        self.candidates.clear()
        self._by_key.clear()

    def _keep(self, tokens: tuple[int, ...], source: str, log_prob: float, chosen: bool) -> Candidate:
        """The candidate of these tokens: a new one, or one that says the same up to the values of constants."""
        law = Expression(tokens, (FREE,) * tokens.count(CONST), self.vocabulary)
        key = canonical(law.with_constants((1.0,) * len(law.constants)))
        if key not in self._by_key:
            if len(self.candidates) >= _MOST:
                raise UsageError(
                    f"There are {_MOST} candidates, which is all that is kept; forget them first."
                )
            self._by_key[key] = Candidate(law, source, log_prob, chosen)
            self.candidates.append(self._by_key[key])
        self._by_key[key].chosen |= chosen
        return self._by_key[key]

    # -- refine

    def refine(
        self, methods: Sequence[str] = ("lm", "bfgs"), restarts: int = 8, steps: int = 50
    ) -> list[Refined]:
        """Fit the constants of the chosen candidates, by each method in turn.

        Arguments:
            methods: names of `nbsr.refine.METHODS`.
            restarts: starts of each law; steps: of the last and longest climb.

        Raises:
            UsageError: nothing is chosen, or there is no such method.
        """
        if not self.candidates:
            raise UsageError("There are no candidates yet; decode some, or type one.")
        if not self.chosen:
            raise UsageError("No candidate is chosen; choose at least one to refine.")
        if not methods:
            raise UsageError(f"No method is chosen; choose some of {', '.join(METHODS)}.")
        laws = [self.candidates[number].law for number in self.chosen]
        _compiled()
        deadline = time.monotonic() + _SECONDS
        found = []
        for number, law in zip(self.chosen, laws):
            for method in methods:
                began = time.perf_counter()
                fits = refine(
                    np.array([law.tokens]), self.table, self.vocabulary, method=method, restarts=restarts,
                    max_steps=steps, seed=self.seed, deadline=deadline,
                )  # fmt: skip
                seconds = time.perf_counter() - began
                fitted = law.with_constants(fits.constants[0, : len(law.constants)].tolist())
                status = Status(int(fits.status[0]))
                found.append(
                    Refined(number, method, fitted, float(fits.fvu[0]), seconds, status, fits.evaluations)
                )
        self.code["refine"] = self._calls.refine(laws, tuple(methods), restarts, steps)
        return found

    def path(self, number: int, restarts: int = 6, steps: int = 30) -> Trajectory:
        """How the constants of one candidate converge, from several starts, by the refiner of nbsr ("lm").

        Raises:
            UsageError: there is no such candidate, or it has no constants.
        """
        if not 0 <= number < len(self.candidates):
            raise UsageError(
                f"There is no candidate {number}; there are {len(self.candidates)}, counted from 0."
            )
        law = self.candidates[number].law
        if not law.constants:
            raise UsageError(f"The law {law} has no constants, so that there is nothing to fit.")
        _compiled()
        found = trajectory(law, self._problem, restarts=restarts, steps=steps, seed=self.seed)
        self.code["path"] = self._calls.path(law, restarts, steps)
        return found

    @cached_property
    def _problem(self) -> Problem:
        return Problem.of(self.table.inputs, self.table.response, self.table.weights)

    # -- score

    def score(self, parsimony: float = 0.05) -> Scored:
        """Refine all candidates, and pick the one of the lowest log10 FVU + parsimony * complexity.

        Raises:
            UsageError: there are no candidates, or none is finite on the table.
        """
        if not 0 <= parsimony < np.inf:
            raise UsageError(
                f"The parsimony is {parsimony}; give a number that is not negative, such as 0.05."
            )
        if not self.candidates:
            raise UsageError("There are no candidates yet; decode some, or type one.")
        laws = [one.law for one in self.candidates]
        tokens = _padded([law.tokens for law in laws])
        fits = self._fits(tokens)
        if not np.isfinite(fits.fvu).any():
            raise UsageError("No candidate is finite on every row of the table; decode others.")
        complexity = self.vocabulary.complexity[tokens].sum(axis=1)
        constants = (tokens == CONST).sum(axis=1)
        rows = effective_rows(len(self.table), self.table.weights)
        value = np.asarray(score(fits.fvu, complexity, parsimony))
        picks = {rule: pick(fits.fvu, complexity, rows, constants, rule, parsimony) for rule in RULES}
        picked = picks["parsimony"]
        order = np.lexsort((fits.fvu, complexity, value)).tolist()
        others = [number for number in order if number != picked and np.isfinite(fits.fvu[number])]
        fitted = [
            law.with_constants(row[: len(law.constants)].tolist()) for law, row in zip(laws, fits.constants)
        ]
        self.code["score"] = self._calls.score(laws, parsimony)
        return Scored(
            parsimony, tuple(fitted), fits.fvu, complexity.astype(np.int64), value,
            tuple(pareto_front(fits.fvu, complexity).tolist()), picked, others[0] if others else None, picks,
        )  # fmt: skip

    def _fits(self, tokens: np.ndarray) -> Fits:
        """All candidates refined; remembered, since only the price of a node changes from look to look."""
        key = (tokens.shape, tokens.tobytes())
        if self._fitted is None or self._fitted[0] != key:
            _compiled()
            deadline = time.monotonic() + _SECONDS
            fits = refine(tokens, self.table, self.vocabulary, seed=self.seed, deadline=deadline)
            self._fitted = (key, fits)
        return self._fitted[1]


@without_traceback
def stages(
    data: Any,
    formula: str,
    *,
    model: str | Path | None = None,
    operators: Iterable[str] | str | None = None,
    forbid: Iterable[str] | str = (),
    require: Iterable[str] | str = (),
    max_complexity: int = 30,
    seed: int = 0,
) -> Stages:
    """The four stages of neural symbolic regression on one table, by hand: in a notebook four tabs, else methods.

    Arguments: see `Stages`.

    Raises:
        UsageError: the table, the formula or a wish cannot be used; a notebook shows the sentence alone.
    """
    return Stages(
        data, formula, model=model, operators=operators, forbid=forbid, require=require,
        max_complexity=max_complexity, seed=seed,
    )  # fmt: skip


@lru_cache(maxsize=1)
def _loaded(place: Path) -> "Model":
    """A network, which all stages share: the memory of a small machine holds it once."""
    return models.load(place)


@contextmanager
def _asking() -> Iterator[None]:
    """The network computes in this thread alone, and what goes wrong there is a sentence."""
    try:
        with torch_alone():
            yield
    except UsageError:
        raise
    except (ImportError, MemoryError, OSError, RuntimeError) as failure:
        raise explained(failure) from failure


def _compiled() -> None:
    """Have the kernels of refinement compiled, which takes a while once."""
    if not ready():
        warm(background=False)


def _number(given: str | float) -> float:
    try:
        return float(given)
    except ValueError:
        text = str(given)
        shown = text if len(text) <= 40 else f"{text[:39]}…"
        raise UsageError(f"'{shown}' is no number; type one such as 3.14, -2e-5, nan or inf.") from None


def _padded(words: Sequence[Sequence[int]]) -> np.ndarray:
    longest = max(map(len, words))
    return np.array([(*word, *[PAD] * (longest - len(word))) for word in words])
