"""What breeds: children made of genomes by crossover and mutation, and islands that keep the best of each complexity.

A member is a core g; what is fitted is `alpha*g + beta`, so a core need not waste nodes on scale and offset (linear
scaling: Keijzer 2003).  The fitted constants go back into the core (Lamarckian, as in Operon: Burlacu et al. 2020).
Members of equal error are the same function up to scale and offset; only the shortest of them is kept.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from nbsr.expression import CONST, WILDCARD, Vocabulary
from nbsr.generate.base import Phrase, Task, Writer

if TYPE_CHECKING:
    from nbsr.refine import Fits

__all__ = ["SOWN", "Born", "Breeder", "Child", "Genome", "Islands", "absorb", "children"]

_ISLAND = 10  # members kept for each complexity
_WITHIN = 0.85  # share of the mutations that change a part, and not the whole

Genome = tuple[tuple[int, ...], tuple[float, ...]]  # tokens and constants
Born = tuple[str, tuple[Genome, ...]]  # how, and of which parents
Child = tuple[Genome, Born]
SOWN: Born = ("sown", ())


class Breeder:
    """Makes children from genomes; knows the language and what the constraints leave of it."""

    def __init__(self, task: Task, purpose: str = "evolve"):
        self.vocabulary: Vocabulary = task.vocabulary
        self.writer = Writer(task.vocabulary, task.constraints)
        self.constraints = task.constraints
        self.rng = task.random(purpose)
        self.arity = task.vocabulary.arities
        self.variables = [phrase.tokens[0] for _, phrase in self.writer.variables]
        self.scales = {
            phrase.tokens[0]: 1.0 / max(float(np.median(np.abs(task.inputs[:, c]))), 1e-300)
            for c, phrase in self.writer.variables
        }
        names = self.writer.ids
        weight = {"+": 8.0, "-": 6.0, "*": 10.0, "/": 8.0, "pow2": 3.0, "pow1_2": 2.0, "inv": 2.0, "exp": 2.0,
                  "log": 2.0, "sin": 2.0, "cos": 2.0, "pow": 1.0, "tanh": 1.0, "pow3": 1.0, "neg": 0.3}  # fmt: skip
        dull = {
            "mult2",
            "mult3",
            "mult4",
            "mult5",
            "div2",
            "div3",
            "div4",
            "div5",
        }  # a free constant does the same
        usable = [n for n in names if n not in dull]
        self.by_arity = {}
        for arity in (1, 2):
            group = [n for n in usable if self.arity[names[n]] == arity]
            odds = np.array([weight.get(n, 0.4) for n in group])
            self.by_arity[arity] = (
                np.array([names[n] for n in group]),
                np.cumsum(odds) / max(odds.sum(), 1e-9),
            )
        self.plus, self.times = names.get("+"), names.get("*")
        self.dimensions = task.constraints.certain
        dimensions = self.dimensions
        # a plain number is no offset of what has a unit
        self.offset = None if dimensions is not None and not dimensions.offset else self.plus
        self.price = task.vocabulary.complexities
        self.legal = set(names.values()) | {CONST} | set(self.variables)
        self.checked = task.constraints.shaped
        self._uniform = iter(())

    def uniform(self) -> float:
        """A uniform random number; drawn in blocks, since single draws are slow."""
        for value in self._uniform:
            return value
        self._uniform = iter(self.rng.random(4096).tolist())
        return next(self._uniform)

    def below(self, n: int) -> int:
        return int(self.uniform() * n)

    def operator(self, arity: int) -> int | None:
        tokens, odds = self.by_arity[arity]
        return int(tokens[np.searchsorted(odds, self.uniform(), side="right")]) if len(tokens) else None

    def number(self) -> float:
        size = 10.0 ** (2 * self.uniform() - 1)
        return size if self.uniform() < 0.7 else -size

    def leaf(self, like: int | None = None) -> Genome:
        """A column or a constant; like another leaf, one of its dimension where constants have none."""
        if self.dimensions is not None and like is not None:
            wanted = self.dimensions.state((like,))
            alike = [v for v in self.variables if v != like and self.dimensions.state((v,)) == wanted]
            if alike:
                return (alike[self.below(len(alike))],), ()
        if self.uniform() < 0.8 and self.variables:
            return (self.variables[self.below(len(self.variables))],), ()
        return (CONST,), (self.number(),)

    def sprout(self, depth: int = 2) -> Genome:
        """A small random expression."""
        dice = self.uniform()
        if depth == 0 or dice < 0.35:
            return self.leaf()
        if dice < 0.6:
            token = self.operator(1)
            if token is not None:
                tokens, constants = self.sprout(depth - 1)
                if (
                    len(tokens) == 1
                    and self.times is not None
                    and tokens[0] in self.scales
                    and self.uniform() < 0.4
                ):
                    scale = self.scales[tokens[0]] * self.number()
                    return (token, self.times, CONST, *tokens), (scale, *constants)
                return (token, *tokens), constants
        token = self.operator(2)
        if token is None:
            return self.leaf()
        a, b = self.sprout(depth - 1), self.sprout(depth - 1)
        return (token, *a[0], *b[0]), a[1] + b[1]

    def with_required(self, genome: Genome) -> Genome:
        """Joined with every pattern that the user requires, small expressions in the places of its wildcards."""
        for pattern in self.constraints.require:
            tokens: tuple[int, ...] = ()
            constants: tuple[float, ...] = ()
            for token in pattern.tokens:
                piece = self.sprout(1) if token == WILDCARD else ((token,), (1.0,) if token == CONST else ())
                tokens, constants = tokens + piece[0], constants + piece[1]
            joint = self.operator(2)
            if joint is None:
                return tokens, constants
            genome = (joint, *genome[0], *tokens), genome[1] + constants
        return genome

    def end(self, tokens: tuple[int, ...], start: int) -> int:
        """The position after the subtree that starts at `start`."""
        open_ = 1
        arity = self.arity
        while open_:
            open_ += arity[tokens[start]] - 1
            start += 1
        return start

    def cut(self, genome: Genome, start: int, stop: int) -> Genome:
        tokens, constants = genome
        first = tokens[:start].count(CONST)
        return tokens[start:stop], constants[first : first + tokens[start:stop].count(CONST)]

    def graft(self, genome: Genome, start: int, stop: int, piece: Genome) -> Genome:
        """The genome with its tokens `start:stop` replaced by the piece."""
        tokens, constants = genome
        first = tokens[:start].count(CONST)
        last = first + tokens[start:stop].count(CONST)
        return tokens[:start] + piece[0] + tokens[stop:], constants[:first] + piece[1] + constants[last:]

    def odds(self) -> tuple[Int[np.ndarray, " tokens"], Float[np.ndarray, " tokens"]]:
        """The tokens that a law may hold, and how likely each is where nothing is known: leaves end it soon enough."""
        tokens: list[int] = [*self.variables, CONST]
        odds = [0.45 / max(1, len(self.variables))] * len(self.variables) + [0.07]
        for arity, share in ((1, 0.18), (2, 0.3)):
            names, cumulated = self.by_arity[arity]
            tokens += names.tolist()
            odds += (share * np.diff(cumulated, prepend=0.0)).tolist()
        return np.array(tokens), np.array(odds) / max(sum(odds), 1e-9)

    def cross(self, mother: Genome, father: Genome, kept: int = 0) -> Genome:
        """A part of the mother replaced by one of the father; the first so many tokens of both have no part in it."""
        i, j = [kept + self.below(len(genome[0]) - kept) for genome in (mother, father)]
        if self.dimensions is not None:  # a part of the same dimension, where there is one
            wanted = self.dimensions.states(mother[0])[i]
            states = self.dimensions.states(father[0])
            alike = [k for k in range(kept, len(states)) if states[k] == wanted]
            j = alike[self.below(len(alike))] if alike else j
        return self.graft(mother, i, self.end(mother[0], i), self.cut(father, j, self.end(father[0], j)))

    def mutate(self, genome: Genome, kept: int = 0) -> Genome:
        """A small change at random; the first so many tokens stay."""
        tokens, constants = genome
        i = kept + self.below(len(tokens) - kept)
        stop = self.end(tokens, i)
        arity = self.arity[tokens[i]]
        dice = self.uniform() * (_WITHIN if kept else 1.0)
        if dice < 0.2:  # another operator or leaf in the same place
            if arity == 0:
                return self.graft(genome, i, stop, self.leaf(tokens[i]))
            token = self.operator(arity)
            return genome if token is None else ((*tokens[:i], token, *tokens[i + 1 :]), constants)
        if dice < 0.4:  # a random subtree in the place of one
            return self.graft(genome, i, stop, self.sprout())
        if dice < 0.55:  # an operator above
            piece = self.cut(genome, i, stop)
            token = self.operator(1)
            if token is None:
                return genome
            return self.graft(genome, i, stop, ((token, *piece[0]), piece[1]))
        if dice < 0.75:  # joined with something small
            token = self.operator(2)
            if token is None:
                return genome
            a, b = self.cut(genome, i, stop), self.sprout(1)
            if self.uniform() < 0.5:
                a, b = b, a
            return self.graft(genome, i, stop, ((token, *a[0], *b[0]), a[1] + b[1]))
        if dice < _WITHIN and arity:  # a child in the place of its parent
            child = i + 1
            if arity == 2 and self.uniform() < 0.5:
                child = self.end(tokens, child)
            return self.graft(genome, i, stop, self.cut(genome, child, self.end(tokens, child)))
        if kept:
            return self.graft(genome, i, stop, self.sprout())
        if dice < 0.95 and self.plus is not None:  # another term
            piece = self.sprout(2)
            factor: Genome = ((self.times, CONST), (self.number(),)) if self.times is not None else ((), ())
            return (self.plus, *tokens, *factor[0], *piece[0]), constants + factor[1] + piece[1]
        if self.times is not None:  # another factor
            piece = self.sprout(2)
            return (self.times, *tokens, *piece[0]), constants + piece[1]
        return genome

    def core(self, genome: Genome) -> Genome:
        """Without a constant factor or offset at the root, which the scaling supplies."""
        while genome[0][0] in (self.plus, self.times) and len(genome[0]) > 2:
            tokens = genome[0]
            middle = self.end(tokens, 1)
            if tokens[1] == CONST:
                genome = self.cut(genome, middle, len(tokens))
            elif tokens[middle] == CONST and middle == len(tokens) - 1:
                genome = self.cut(genome, 1, middle)
            else:
                break
        return genome

    def complexity(self, tokens: tuple[int, ...]) -> int:
        price = self.price
        return sum(price[t] for t in tokens)

    def dress(self, genome: Genome) -> Phrase:
        """`alpha*g + beta` where the language has both, `g` otherwise."""
        tokens, constants = genome
        if self.times is not None:
            tokens, constants = (self.times, CONST, *tokens), (1.0, *constants)
        if self.offset is not None:
            tokens, constants = (self.offset, *tokens, CONST), (*constants, 0.0)
        return Phrase(tokens, constants, self.complexity(tokens))

    def undress(self, tokens: tuple[int, ...], constants: tuple[float, ...]) -> Genome:
        return self.core((tokens, constants))

    def viable(self, genome: Genome, limit: int) -> bool:
        tokens = genome[0]
        if len(tokens) > limit or not self.legal.issuperset(tokens):
            return False
        if all(t == CONST or self.arity[t] for t in tokens):
            return False
        return not self.checked or self.constraints.allows(self.dress(genome).tokens)


class Islands:
    """The population: the best members of each complexity."""

    def __init__(self):
        self.members: dict[int, list[tuple[float, Genome]]] = {}
        self.errors: dict[float, int] = {}  # rounded error -> the least complexity that reaches it
        self.front: list[Genome] = []

    def admit(self, error: float, complexity: int, genome: Genome) -> bool:
        mark = float(f"{error:.9e}")
        if self.errors.get(mark, 1 << 30) <= complexity:
            return False
        island = self.members.setdefault(complexity, [])
        if len(island) >= _ISLAND and error >= island[-1][0]:
            return False
        self.errors[mark] = complexity
        island.append((error, genome))
        island.sort(key=lambda member: member[0])
        del island[_ISLAND:]
        return True

    def update_front(self) -> None:
        self.front = []
        least = np.inf
        for complexity in sorted(self.members):
            error, genome = self.members[complexity][0]
            if error < least:
                least = error
                self.front.append(genome)

    def parent(self, breeder: Breeder) -> Genome:
        """From the front, or by rank from an island taken at random."""
        if breeder.uniform() < 0.35:
            return self.front[breeder.below(len(self.front))]
        keys = list(self.members)
        island = self.members[keys[breeder.below(len(keys))]]
        rank = min(breeder.below(len(island)), breeder.below(len(island)))
        return island[rank][1]


def absorb(breeder: Breeder, islands: Islands, phrases: list[Phrase], fits: "Fits") -> None:
    """Have the fitted laws live on the islands."""
    fvu = np.asarray(fits.fvu)
    for k in np.flatnonzero(np.isfinite(fvu)):
        phrase = phrases[k]
        constants = tuple(fits.constants[k, : len(phrase.constants)].tolist())
        islands.admit(float(fvu[k]), phrase.complexity, breeder.undress(phrase.tokens, constants))


def children(
    breeder: Breeder, islands: Islands, seen: set[tuple[int, ...]], limit: int, count: int
) -> list[Child]:
    """So many new genomes, fewer where they are hard to come by; `seen` gains them."""
    if not islands.front:
        return [(breeder.sprout(3), SOWN) for _ in range(count)]
    born_now: list[Child] = []
    for _ in range(4 * count):
        mother = islands.parent(breeder)
        if breeder.uniform() < 0.35:
            father = islands.parent(breeder)
            child, born = breeder.cross(mother, father), ("cross", (mother, father))
        else:
            child, born = breeder.mutate(mother), ("mutation", (mother,))
            while breeder.uniform() < 0.3:
                child = breeder.mutate(child)
        child = breeder.core(child)
        if child[0] in seen or not breeder.viable(child, limit):
            continue
        if len(seen) > 2_000_000:
            seen.clear()
        seen.add(child[0])
        born_now.append((child, born))
        if len(born_now) >= count:
            break
    return born_now
