"""Methods made, taken apart and put together; each is a generator, whatever is done with it."""

import itertools
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, replace

from nbsr.expression import CONST, PAD, Dimensions, Expression, Vocabulary
from nbsr.generate.additive import additive
from nbsr.generate.base import Method, Proposals, Task
from nbsr.generate.beam import beam
from nbsr.generate.evolve import evolve
from nbsr.generate.exhaustive import exhaustive
from nbsr.generate.mcts import imcts, mcts
from nbsr.generate.pairs import pairs
from nbsr.generate.prior import prior
from nbsr.generate.rsrm import rsrm
from nbsr.generate.sample import sample
from nbsr.generate.spectrum import spectrum
from nbsr.generate.textbook import textbook
from nbsr.network import Told
from nbsr.refine import Fits
from nbsr.simplify import canonical

__all__ = ["Said", "Turns", "asking", "first", "overheard", "plain", "untried"]

_MOST_DRAWN = 1 << 20  # by a search that does nothing else
_WIDEST = 1 << 9  # the last beam of such a search

_PLAIN: dict[str, Callable[[Task], Method]] = {
    "pairs": pairs,
    "evolve": evolve,
    "exhaustive": exhaustive,
    "prior": prior,
    "textbook": textbook,
    "spectrum": spectrum,
    "additive": additive,
}


def plain(name: str, task: Task, left_out: Sequence[str] = ()) -> Method:
    """A method that needs no network, without some of its parts."""
    if name == "rsrm":
        return rsrm(task, **dict.fromkeys(left_out, False))
    if name == "imcts":
        key = key_of(task.vocabulary, task.constraints.dimensions)
        index, jumps, chance = (part not in left_out for part in ("index", "jumps", "chance"))
        return imcts(task, index, jumps, chance, canonical=key)
    return _PLAIN[name](task)


def asking(name: str, task: Task, told: Told, choices: int | None) -> Method:
    """A method that asks a network, which was told the table."""
    task, longest = replace(task, next_token=told.next_token), told.max_length
    key = key_of(task.vocabulary, task.constraints.dimensions)
    if name == "softmax":
        drawn = _MOST_DRAWN if choices is None else 4 * choices  # those that say the same are drawn in vain
        return first(sample(task, choices=drawn, canonical=key, max_length=longest), choices)
    if name == "beam":
        width = 64 if choices is None else choices
        widest = _WIDEST if choices is None else 4 * choices
        return beam(task, width, choices, max_length=longest, canonical=key, widest=widest)
    return first(mcts(task, canonical=key, max_length=longest), choices)


def key_of(
    vocabulary: Vocabulary, dimensions: Dimensions | None = None
) -> Callable[[tuple[int, ...]], str | None]:
    """A key of expressions and their beginnings, equal for those that say the same up to the values of constants.

    Ids beyond the vocabulary are further columns, and places that are still open count as such.  The key is None for
    what has no value anywhere, and for what units forbid.
    """
    arities = vocabulary.arities
    widened = [vocabulary]  # with so many further columns

    def key(tokens: tuple[int, ...]) -> str | None:
        if dimensions is not None and not dimensions.allows_beginning(tokens):
            return None
        further = max(0, max(tokens, default=0) - vocabulary.size + 1)
        places = 1 + sum([arities[t] - 1 if t < vocabulary.size else -1 for t in tokens])
        while len(widened) <= further + places:
            names = (*vocabulary.variables, *(f"place {k} \u2026" for k in range(len(widened))))
            widened.append(Vocabulary(names, vocabulary.operators))
        whole = (*tokens, *range(vocabulary.size + further, vocabulary.size + further + places))
        found = canonical(Expression(whole, (1.0,) * whole.count(CONST), widened[further + places]))
        return None if found == "undefined" else found

    return key


class Turns:
    """Methods that take turns.  Each goes on where it was, and one that has ended is passed over."""

    def __init__(self, **methods: Method):
        self.methods = methods
        self.fits: dict[
            str, Fits | None
        ] = {}  # of each method's last batch, which it is told at its next turn

    def __bool__(self) -> bool:
        """Whether any method is left."""
        return bool(self.methods)

    def add(self, name: str, method: Method) -> None:
        self.methods[name] = method

    def __call__(self, name: str, batches: int | None = None) -> Method:
        """So many batches of one method; None: all that it has."""
        for _ in itertools.count() if batches is None else range(batches):
            if name not in self.methods:
                return
            try:
                batch = self.methods[name].send(self.fits.pop(name, None))
            except StopIteration:
                del self.methods[name]
            else:
                self.fits[name] = yield batch


def first(method: Method, choices: int | None) -> Method:
    """A method cut off after so many candidates."""
    if choices is None:
        yield from method
        return
    fits = None
    while choices > 0:
        try:
            batch = method.send(fits)
        except StopIteration:
            return
        batch = batch.first(choices)
        choices -= len(batch)
        fits = yield batch


def untried(method: Method, known: Collection[tuple[int, ...]]) -> Method:
    """A method that does not ask how its laws fit, without those that are known."""
    for batch in method:
        words = (tuple(t for t in word if t != PAD) for word in batch.tokens.tolist())
        new = [row for row, word in enumerate(words) if word not in known]
        if new:
            yield batch.take(new)


@dataclass(frozen=True)
class Said:
    """One law that the network said, with the constants that were fitted."""

    tokens: tuple[int, ...]
    constants: tuple[float, ...]
    fvu: float
    log_prob: float


def overheard(method: Method, said: list[Said]) -> Generator[Proposals, Fits | None, None]:
    """A method whose fitted laws are noted down."""
    fits: Fits | None = None
    while True:
        try:
            batch = method.send(fits)
        except StopIteration:
            return
        fits = yield batch
        if len(batch) and fits is not None and batch.log_prob is not None:
            for row, word in enumerate(batch.tokens.tolist()):
                tokens = tuple(t for t in word if t != PAD)
                constants = tuple(fits.constants[row, : tokens.count(CONST)].tolist())
                said.append(Said(tokens, constants, float(fits.fvu[row]), float(batch.log_prob[row])))
