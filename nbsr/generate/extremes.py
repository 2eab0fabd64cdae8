"""What a tree search needs to go after extremes: queues of the best laws, an index by the best, and jumps.

Below a beginning one law is wanted, the best, and not a good mean.  So every node of the tree keeps the best laws that
went through it; which child comes next is decided by the best law below each; and instead of being completed by the
policy, a beginning may go on with what a mutation or a crossover makes of the laws in its queue.

Source: Huang et al., "Improving Monte Carlo tree search for symbolic regression" (NeurIPS 2025, arXiv 2509.15929).
Other than there a walk ends with its jump, which counts as a visit of the nodes that it passes; crossover makes one
child; laws are the same to a queue where their rewards agree to nine digits; and without a network tokens are drawn by
how common they are, within a length and not a depth.
"""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Integer

from nbsr.errors import UsageError
from nbsr.expression import CONST
from nbsr.expression.legal import LegalMask
from nbsr.generate.base import Origin, Step, Task
from nbsr.generate.breeding import Breeder, Genome
from nbsr.generate.tree import NONE, REST, Tree

__all__ = ["Chance", "Extremes", "Jumps", "Queue", "Queues", "Recipe", "worth"]

Word = tuple[int, ...]

_FLOOR = 1e-9  # odds of a token that no law may hold


@dataclass(frozen=True)
class Recipe:
    """How a tree search goes after extremes.

    keep: most laws in the queue of a node.
    index: whether the child of the greatest index comes next; without it PUCT chooses.
    exploration, power: of the index, best + (exploration * ln(visits of the parent) / visits) ** power.
    jumps: how often a walk jumps from a node instead of going on; mutation: share of the jumps that mutate one law,
        where the others cross two.
    chance: how often a child is taken at random.

    Raises UsageError for a setting that makes no sense.
    """

    keep: int = 500
    index: bool = True
    exploration: float = 1.0
    power: float = 0.5
    jumps: float = 0.2
    mutation: float = 0.1
    chance: float = 0.1

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise UsageError(f"A queue of {self.keep} laws keeps none; give at least 1.")
        if not 0 <= self.exploration < np.inf:
            raise UsageError(f"The exploration of the index is {self.exploration}; give 0 or more.")
        if not 0 < self.power < np.inf:
            raise UsageError(f"The power of the index is {self.power}; give a number above 0, such as 0.5.")
        for name in ("jumps", "mutation", "chance"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise UsageError(
                    f"The share of {name} in a tree search is {share}; give a number from 0 to 1."
                )

    def score(self, best: float, above: int, visits: int) -> float:
        """The index of a child: its best reward, and more the less often its parent's visits went there."""
        return best + (self.exploration * float(np.log(max(1, above))) / visits) ** self.power


def worth(fvu: Float[np.ndarray, " laws"]) -> Float[np.ndarray, " laws"]:
    """1 for a law that leaves no error, 1/2 for one no better than the mean, 0 for one without a value."""
    with np.errstate(all="ignore"):
        return np.nan_to_num(1.0 / (1.0 + np.sqrt(fvu)), nan=0.0) + 0.0


# -- the best laws of each node --------------------------------------------------------------------------------------


@dataclass
class Queue:
    """The best ways on from a node to a whole law, best first.

    Ways of one reward, to nine digits, are the same function; only the shortest of them is kept, the first of equals.

    entries: `(-reward, number, way)`, the numbers in the order in which they came.
    """

    most: int
    entries: list[tuple[float, int, Word]] = field(default_factory=list)
    came: int = 0
    marks: dict[str, tuple[float, int, Word]] = field(default_factory=dict)  # by rounded reward

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def best(self) -> float:
        """The greatest reward, -1 before there is one."""
        return -self.entries[0][0] if self.entries else -1.0

    def push(self, way: Word, got: float) -> bool:
        """Take a way with its reward in; answers whether it is kept.  What is worth nothing is not."""
        mark = f"{got:.8e}"
        twin = self.marks.get(mark)
        if got <= 0 or (twin is not None and len(twin[2]) <= len(way)):
            return False
        if twin is not None:
            self.entries.remove(twin)
        elif len(self.entries) >= self.most:
            if got <= -self.entries[-1][0]:
                return False
            del self.marks[f"{-self.entries.pop()[0]:.8e}"]
        entry = (-got, self.came, way)
        self.came += 1
        insort(self.entries, entry)
        self.marks[mark] = entry
        return True


class Queues:
    """A queue for each node of a tree that a law went through."""

    def __init__(self, most: int):
        self.most = most
        self.nodes: dict[int, Queue] = {}

    def of(self, node: int) -> Queue:
        """The queue of a node; an empty one where nothing went through it."""
        if node not in self.nodes:
            self.nodes[node] = Queue(self.most)
        return self.nodes[node]

    def push(self, node: int, way: Word, got: float) -> None:
        """A law's way on from a node; whole laws have none."""
        if way:
            self.of(node).push(way, got)

    def ways(self, node: int) -> list[tuple[Word, float]]:
        """The ways on from a node with their rewards, best first."""
        return [(way, -minus) for minus, _, way in self.nodes[node].entries] if node in self.nodes else []

    def renumber(self, new: Integer[np.ndarray, " nodes"]) -> None:
        """The nodes have other numbers now, or are forgotten, where that is negative."""
        self.nodes = {int(new[node]): queue for node, queue in self.nodes.items() if new[node] >= 0}


# -- jumps -----------------------------------------------------------------------------------------------------------


class Jumps:
    """Makes laws of those in the queue of a node, all of them legal by the mask."""

    def __init__(self, task: Task, recipe: Recipe, legal: LegalMask):
        self.recipe, self.legal = recipe, legal
        self.breeder = Breeder(task, "jumps")

    def due(self) -> bool:
        """Whether a walk jumps from the node where it is."""
        return self.recipe.jumps > 0 and self.breeder.uniform() < self.recipe.jumps

    def child(self, beginning: Word, queue: Queue) -> tuple[Word, Origin] | None:
        """A law that begins so, by mutation or crossover; None where this attempt came to none that is allowed."""
        if not queue.entries:
            return None
        breeder, kept = self.breeder, len(beginning)
        mutates = breeder.uniform() < self.recipe.mutation
        mother = self._parent(beginning, queue)
        if mutates:
            made, words = breeder.mutate(mother, kept), (mother[0],)
        else:
            father = self._parent(beginning, queue)
            made, words = breeder.cross(mother, father, kept), (mother[0], father[0])
        if made[0] in words or not self.allowed(made[0]):
            return None
        return made[0], Origin("mutation" if mutates else "crossover", words)

    def _parent(self, beginning: Word, queue: Queue) -> Genome:
        word = beginning + queue.entries[self.breeder.below(len(queue))][2]
        return word, (1.0,) * word.count(CONST)

    def allowed(self, word: Word) -> bool:
        """Whether a whole expression is legal and of allowed length."""
        state = self.legal.start(1)
        for token in word:
            if not state.mask()[0, token]:
                return False
            state = state.advance(np.array([token]))
        return bool(state.finished[0])


# -- the recipe at work ----------------------------------------------------------------------------------------------


class Extremes:
    """The queues of a tree, which child comes next by them, and jumps from them.

    legal: the mask of the laws that the search may propose.
    """

    def __init__(self, task: Task, recipe: Recipe, tree: Tree, legal: LegalMask):
        self.recipe, self.tree = recipe, tree
        self.rng = task.random("extremes")
        self.queues = Queues(recipe.keep)
        self.jumps = Jumps(task, recipe, legal)

    def choose(self, node: int, left: list[tuple[int, int]]) -> int:
        """The place of the child to visit next, of those that are left; NONE where there is none, or PUCT is to choose.

        One without visits, by its prior; else now and then any; else that of the greatest index.

        left: places, and the visits of each, those on the way included.
        """
        tree, recipe = self.tree, self.recipe
        fresh = [slot for slot, visits in left if not visits]
        if recipe.index and fresh:
            share = np.cumsum(tree.priors[node, fresh].astype(np.float64))
            return fresh[int((share[:-1] <= self.rng.random() * share[-1]).sum())]
        if left and self.rng.random() < recipe.chance:
            return left[int(self.rng.integers(len(left)))][0]
        if not (left and recipe.index):
            return NONE
        above = int(tree.visits[node] + tree.virtual[node])
        scores = [
            recipe.score(float(tree.best[tree.children[node, slot]]), above, visits) for slot, visits in left
        ]
        return left[int(np.argmax(scores))][0]

    def child(self, node: int, beginning: Word) -> tuple[Word, Origin] | None:
        """A law bred of the queue of a node that spells this beginning; see `Jumps.child`."""
        return self.jumps.child(beginning, self.queues.of(node))

    def enqueue(self, nodes: Sequence[int], slots: Sequence[int], tokens: Word, got: float) -> None:
        """A law to the queue of every node of its way, spelled as the way goes and not as a twin was met first."""
        tree = self.tree
        edges = [int(tree.tokens[node, slot]) for node, slot in zip(nodes, slots)]
        said = [token for token in edges if token != REST]
        word = (*said, *tokens[len(said) :])
        for node in nodes:
            self.queues.push(node, word[tree.depth[node] :], got)
        # of a jump, nodes further down may have been made since
        self.follow(nodes[-1], word[tree.depth[nodes[-1]] :], got)

    def hand_down(self, node: int, slot: int) -> None:
        """Laws of a node's queue to a child that is new there, and on to what is below it already."""
        for way, got in self.queues.ways(node):
            if self._behind(node, way)[0] == slot:
                self.follow(node, way, got)

    def follow(self, node: int, way: Word, got: float) -> None:
        """A law to the queues of the nodes below one by which its way goes on, as far as there are any."""
        slot, way = self._behind(node, way)
        while slot != NONE and self.tree.children[node, slot] >= 0:
            node = int(self.tree.children[node, slot])
            self.queues.push(node, way, got)
            self.tree.best[node] = max(self.tree.best[node], got)
            slot, way = self._behind(node, way)

    def _behind(self, node: int, way: Word) -> tuple[int, Word]:
        """The place of the child of a node by which a way goes on, and what is left of it there; NONE without one.

        The child of all others has the way in whole.
        """
        tokens = self.tree.tokens[node, : self.tree.width[node]].tolist() if way else []
        if way and way[0] in tokens:
            return tokens.index(way[0]), way[1:]
        return (len(tokens) - 1, way) if tokens and tokens[-1] == REST else (NONE, way)


# -- without a network -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rows:
    """Nothing but how many."""

    count: int

    def select(self, rows: Integer[np.ndarray, " selected"]) -> "_Rows":
        return _Rows(len(rows))


class Chance:
    """The policy of one who knows nothing: each token is as likely as it is common, whatever came before."""

    def __init__(self, task: Task):
        tokens, odds = Breeder(task).odds()
        self.logits = np.full(task.vocabulary.size, np.log(_FLOOR))
        self.logits[tokens] = np.log(np.maximum(odds, _FLOOR))

    def __call__(self, tokens: Integer[np.ndarray, "rows new"], state: _Rows | None) -> Step:
        return Step(np.tile(self.logits, (len(tokens), 1)), None, _Rows(len(tokens)))
