"""What a search is asked to do, judged before it begins."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nbsr import devices, models
from nbsr.errors import UsageError, did_you_mean
from nbsr.expression import Constraints, Dimensions, Vocabulary
from nbsr.judgement import RULES
from nbsr.losses import LOSSES
from nbsr.network import find
from nbsr.operators import OPERATORS, resolve_all

if TYPE_CHECKING:
    Text = str | int | float | None | tuple[str, ...]

METHODS = {
    "auto": "pairs and textbook laws first, then the network and what is built of its words, evolution, tree search",
    "pairs": "all pairs of small expressions by linear algebra, with monomials peeled off and inverted targets",
    "textbook": "the laws of textbooks, with the columns put in every way",
    "spectrum": "waves at the peaks of a periodogram, over columns and pairs of them",
    "additive": "sums of a few short terms, term by term, each length of sum by the rows that are left out",
    "evolve": "evolution with every constant refined, one island for each complexity",
    "rsrm": "tree search that Q-learning narrows, evolution, and forms A + f, A * f, A ** f found on the way",
    "imcts": "tree search after the best law below each beginning, which also jumps to what it breeds of the best",
    "exhaustive": "every distinct expression, shortest first",
    "softmax": "expressions drawn from the network, each only once",
    "beam": "the expressions that the network holds for the likeliest",
    "mcts": "tree search with the network's word and what refinement says of it",
    "prior": "random expressions from the prior, the baseline",
}
PARTS = {  # of a method, to be left out as in "rsrm-forms"
    "rsrm": ("tree", "learning", "evolution", "forms"),
    "imcts": ("index", "jumps", "chance"),
}
NEED_NETWORK = ("softmax", "beam", "mcts")  # those that need a network
NOISES = ("auto", "constant", "relative")  # errors: of one size, or growing with the target
REFINERS = ("lm", "bfgs", "lbfgsb", "neldermead", "powell", "trf", "dogbox")

# Without a wish, the operators that measured laws are made of; every other one has to be asked for.
_USUAL = (
    "+", "-", "*", "/", "neg", "inv", "pow", "pow2", "pow3", "pow4", "pow5", "pow1_2", "pow1_3",
    "sin", "cos", "tan", "asin", "acos", "atan", "tanh", "exp", "log", "abs",
)  # fmt: skip
_IMPLIED = {
    "*": ("pow2", "pow3", "pow4", "pow5"), "/": ("inv",), "-": ("neg",),
    "pow": ("pow2", "pow3", "pow4", "pow5", "pow1_2", "pow1_3"),
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """The settings of `nbsr.search`, by the names that they have there.

    Raises UsageError for a setting that makes no sense.
    """

    method: str
    seconds: float | None
    seed: int
    operators: tuple[str, ...] | None
    forbid: tuple[str, ...]
    require: tuple[str, ...]
    max_complexity: int
    max_evaluations: int | None
    start: tuple[str, ...]
    bounds: tuple[str, ...]
    shared: tuple[str, ...]
    noise: str
    loss: str
    score: str
    parsimony: float
    refiner: str
    device: str
    model: str | None
    choices: int | None
    complexity: int | None
    finetune: float | None = None

    def __post_init__(self) -> None:
        named = (
            ("score", RULES),
            ("noise", NOISES),
            ("loss", LOSSES),
            ("refiner", REFINERS),
        )
        for key, choices in named:
            value = getattr(self, key)
            if value not in choices:
                raise UsageError(
                    f"There is no {key} {value!r}; choose from {', '.join(choices)}."
                    + did_you_mean(str(value), choices)
                )
        self._check_method()
        self._check_limits()
        devices.check(self.device)
        if self.method in NEED_NETWORK:
            check_network(self.method, self.model)
        if self.finetune is not None:
            self._check_finetune(self.finetune)

    def _check_finetune(self, seconds: float) -> None:
        if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0 < seconds < math.inf:
            raise UsageError(f"'finetune' must be a positive number of seconds, got {seconds!r}.")
        if self.method not in ("auto", *NEED_NETWORK):
            raise UsageError(
                f"The method {self.method!r} asks no network, so there is none to tune; leave out 'finetune', or "
                f"choose auto, {', '.join(NEED_NETWORK[:-1])} or {NEED_NETWORK[-1]}."
            )
        if self.seconds is not None and seconds >= self.seconds:
            raise UsageError(
                f"Fine-tuning for {seconds:g} of {self.seconds:g} seconds leaves none for the search; give it fewer, "
                "or the search more."
            )
        if find(self.model) is None:
            lacks = "none comes with this nbsr" if self.model is None else "model 'none' leaves it out"
            raise UsageError(
                f"Fine-tuning needs a network, and {lacks}; give as model the directory of one, or leave it out."
            )
        check_network(self.method, self.model)

    def _check_method(self) -> None:
        if self.method_name not in METHODS:
            raise UsageError(
                f"There is no method {self.method_name!r}; choose from {', '.join(METHODS)}."
                + did_you_mean(self.method_name, METHODS)
            )
        parts = PARTS.get(self.method_name, ())
        for part in self.left_out:
            if part not in parts:
                there = f"it has {', '.join(parts)}" if parts else "it has none that can be left out"
                raise UsageError(f"The method {self.method_name!r} has no part {part!r}; {there}.")

    @property
    def method_name(self) -> str:
        """The method, whatever is left out of it."""
        return str(self.method).partition("-")[0]

    @property
    def left_out(self) -> tuple[str, ...]:
        """The parts of the method that are left out."""
        return tuple(str(self.method).split("-")[1:])

    def _check_limits(self) -> None:
        seconds = self.seconds
        if seconds is None and self.max_evaluations is None:
            raise UsageError("A search needs a limit; give seconds or max_evaluations.")
        if seconds is not None and not (isinstance(seconds, (int, float)) and 0 < seconds < math.inf):
            raise UsageError(f"'seconds' must be a positive number, got {seconds!r}.")
        for key, least in (("max_evaluations", 1), ("max_complexity", 1), ("choices", 1), ("complexity", 1)):
            value = getattr(self, key)
            if value is not None and (not isinstance(value, (int, np.integer)) or value < least):
                raise UsageError(f"'{key}' must be a whole number of at least {least}, got {value!r}.")
        if not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise UsageError(f"'seed' must be a whole number that is not negative, got {self.seed!r}.")

    @property
    def counted(self) -> bool:
        """Whether candidates are the limit, so that turns must not depend on time."""
        return self.max_evaluations is not None

    def told(self) -> "Mapping[str, Text]":
        """By name, as a result keeps them."""
        return asdict(self)

    def constraints(self, vocabulary: Vocabulary, dimensions: Dimensions | None = None) -> Constraints:
        """The person's wishes for the forms of laws.

        The powers that `*` and `/` spell out are allowed with them, and an operator that is required is allowed.
        """
        if self.operators is None:
            names = list(_USUAL) + [n for n, row in OPERATORS.items() if row.definition is not None]
        else:
            names = list(resolve_all(self.operators))
            for name, implied in _IMPLIED.items():
                names += implied if name in names else ()
        for text in self.require:
            wide = Constraints.build(vocabulary, None, self.max_complexity, require=(text,))
            names += [vocabulary.name(t) for t in wide.require[0].tokens if vocabulary.is_operator(t)]
        constraints = Constraints.build(
            vocabulary, list(dict.fromkeys(names)), self.max_complexity, self.forbid, self.require, dimensions
        )
        if not constraints.variables:
            raise UsageError("Every column is forbidden; leave at least one that the law may use.")
        return constraints


def texts(value: Iterable[str] | str, name: str) -> tuple[str, ...]:
    """One text or several, as a tuple."""
    if isinstance(value, str):
        return (value,)
    told = tuple(value)
    for text in told:
        if not isinstance(text, str):
            raise UsageError(f"'{name}' takes texts such as 'sin(?)', got {text!r}.")
    return told


def check_network(method: str, model: str | Path | None) -> None:
    """Raises UsageError where the method needs a network and there is none."""
    found = find(model)
    if found is None:
        lacks = "none comes with this nbsr" if model is None else "model 'none' leaves it out"
        raise UsageError(
            f"The method {method!r} asks a network, and {lacks}; give as model the directory of one that was "
            "trained with `nbsr train`, or choose another method."
        )
    models.find(found)
