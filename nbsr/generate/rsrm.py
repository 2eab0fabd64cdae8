"""Tree search that Q-learning narrows, evolution of what it finds, and forms that both then fill in.

An epoch has two halves of the same steps.  A tree search goes from the empty beginning to a whole law: simulations from
where it stands, a step to the token below which the best law was seen, simulations from there.  Its best laws go to
islands of evolution for some generations.  In the first half that is done for the law itself; in the second for the
unknown f of a form A + f, A * f or A ** f, whose A is what the good laws so far have in common (nbsr/generate/forms).

Which tokens a simulation takes is learned over all simulations of a table, by double Q-learning on the beginnings: one
table chooses the best next token, the other says what it is worth, so that luck is not taken for worth.  A token that
was taken less than some times from a beginning comes first.

Every law g is fitted as alpha*g + beta, all constants by the engine's refiner, on the rows of the search alone.

Sources: Xu et al., "Reinforcement Symbolic Regression Machine" (arXiv 2305.14656, ICLR 2024); van Hasselt, "Double
Q-learning" (NeurIPS 2010).  Other than there a step costs nothing, since the reward of the law has a price for length
already; where nothing is known tokens are not drawn uniformly but by how common they are; and evolution keeps the best
of each complexity.
"""

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32

from nbsr.errors import UsageError
from nbsr.expression import CONST, PAD, Expression
from nbsr.expression.legal import LegalMask, LegalState
from nbsr.expression.tree import FREE
from nbsr.generate.base import Method, Origin, Phrase, Proposals, Task, pack_phrases
from nbsr.generate.breeding import SOWN, Born, Breeder, Child, Genome, Islands, children
from nbsr.generate.forms import Form, discover
from nbsr.trace import Growth, State

if TYPE_CHECKING:
    from nbsr.refine import Fits

__all__ = ["Frame", "Learning", "TreeAgent", "Values", "best_of", "rsrm", "worth"]

_GENERATION = 256  # children in a batch
_HANDED_ON = 250  # laws of a tree search that go on to evolution
_LENGTH_PRICE = 0.99  # of the reward, for each unit of complexity
_SPREAD = 0.1  # of Q values, that makes a token e times as likely
_MOST_NODES = 60_000  # of a table of values, before it begins anew
_MOST_KNOWN = 200_000  # rewards that are remembered
_MOST_TREES = 60  # that the trace is told of
_BARREN = 12  # epochs without a new law, before the search ends
_GOOD = 40  # laws that are remembered for what they have in common
_MOST_FRAMES = 6  # forms whose islands and values are kept
_SIMULATED: Born = ("tree search", ())
_NO = -1

_Key = tuple[str, tuple[int, ...]]


def worth(
    fvu: Float[np.ndarray, " laws"], complexity: Float[np.ndarray, " laws"]
) -> Float[np.ndarray, " laws"]:
    """The reward of laws: 1 for one that costs nothing and leaves no error, 0 for one without a value."""
    with np.errstate(all="ignore"):
        got = _LENGTH_PRICE**complexity / (1.0 + np.sqrt(fvu))
    return np.where(np.isfinite(fvu), np.nan_to_num(got), 0.0)


def best_of(laws: Sequence[tuple[float, Genome]], count: int) -> list[tuple[float, Genome]]:
    """The laws of the least FVU, best first."""
    return sorted([law for law in laws if np.isfinite(law[0])], key=lambda law: law[0])[:count]


@dataclass(frozen=True)
class Learning:
    """How tokens are chosen within the tree.

    visits: times that a token comes first in an episode, before learned values count.
    rate, discount: of Q-learning; greed: how often learned values choose, and not chance.
    used: whether they choose at all.
    """

    visits: int = 4
    rate: float = 0.1
    discount: float = 0.95
    greed: float = 0.6
    used: bool = True


# -- what is learned of beginnings -----------------------------------------------------------------------------------


@dataclass
class Values:
    """Two tables of what it is worth to go on with a token from a beginning; node 0 is the empty one.

    first, second: `[nodes, actions]` the values; child: `[nodes, actions]` node behind a token, -1 without one.
    taken, best: `[nodes, actions]` how often a token was taken in this episode, and the best reward after it.
    above, by: `[nodes]` the node above and the action that led from there; depth: `[nodes]`.
    """

    actions: int
    size: int = 1
    child: Int32[np.ndarray, "nodes actions"] = field(init=False)
    first: Float32[np.ndarray, "nodes actions"] = field(init=False)
    second: Float32[np.ndarray, "nodes actions"] = field(init=False)
    taken: Int32[np.ndarray, "nodes actions"] = field(init=False)
    best: Float32[np.ndarray, "nodes actions"] = field(init=False)
    above: Int32[np.ndarray, " nodes"] = field(init=False)
    by: Int32[np.ndarray, " nodes"] = field(init=False)
    depth: Int32[np.ndarray, " nodes"] = field(init=False)

    def __post_init__(self) -> None:
        shape = (256, self.actions)
        self.child = np.full(shape, _NO, np.int32)
        self.first, self.second = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.taken, self.best = np.zeros(shape, np.int32), np.full(shape, -1.0, np.float32)
        self.above, self.by = np.full(256, _NO, np.int32), np.full(256, _NO, np.int32)
        self.depth = np.zeros(256, np.int32)

    def grow(self, node: int, action: int) -> int:
        """The node behind a token, made where there is none."""
        found = int(self.child[node, action])
        if found != _NO:
            return found
        if self.size == len(self.child):
            for name, empty in (("child", _NO), ("first", 0), ("second", 0), ("taken", 0), ("best", -1.0),
                                ("above", _NO), ("by", _NO), ("depth", 0)):  # fmt: skip
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.full_like(old, empty)]))
        new = self.size
        self.size += 1
        self.child[node, action] = new
        self.above[new], self.by[new], self.depth[new] = node, action, self.depth[node] + 1
        return new

    def begin(self) -> None:
        """A new episode: what was counted is forgotten, what was learned stays."""
        self.taken[: self.size] = 0
        self.best[: self.size] = -1.0

    def learn(
        self, path: Sequence[tuple[int, int]], target: float, got: float, learning: "Learning", coin: bool
    ) -> None:
        """Put a reward back along a path of nodes and actions, into one of the two tables.

        target: what the last step is worth; each step above it is worth what the other table says of the next token
            that is the best by this one.
        got: the reward of the whole law; coin: which of the tables learns.
        """
        mine, other = (self.first, self.second) if coin else (self.second, self.first)
        for step, (node, action) in enumerate(reversed(path)):
            if step:
                below = int(self.child[node, action])
                target = learning.discount * float(other[below, int(mine[below].argmax())])
            mine[node, action] += learning.rate * (target - mine[node, action])
            self.best[node, action] = max(self.best[node, action], got)

    def value(self, node: int) -> float:
        """What it is worth to be at a node, as both tables say; NaN at the root."""
        above, by = int(self.above[node]), int(self.by[node])
        if above == _NO:
            return float("nan")
        return float(self.first[above, by] + self.second[above, by]) / 2


@dataclass
class Walk:
    """One simulation: the steps within the tree, the tokens of the whole law, and what it is worth."""

    path: list[tuple[int, int]]
    tokens: tuple[int, ...]
    reward: float = 0.0


class TreeAgent:
    """One tree search after another over beginnings of g, its values learned over all of them.

    Arguments:
        task: with the constraints; breeder: knows the language.
        limit: most complexity of g; max_length: most tokens.
        name: of the tree in the trace; "" where it is not told.
    """

    def __init__(
        self, task: Task, breeder: Breeder, learning: Learning, limit: int, max_length: int, name: str
    ):
        self.task, self.breeder, self.learning, self.name = task, breeder, learning, name
        self.rng = task.random(f"rsrm {name}")
        constraints = replace(
            task.constraints, max_complexity=max(1, min(limit, task.constraints.max_complexity))
        )
        self.legal = LegalMask(task.vocabulary, constraints, max_length)
        self.actions, self.odds = breeder.odds()
        self.values = Values(len(self.actions))
        self.told = 0
        self.ends: list[tuple[int, float, tuple[int, ...]]] = []
        self.begin()

    @property
    def possible(self) -> bool:
        """Whether there is any law to find."""
        return bool(self.legal.start(1).mask()[0, self.actions].any())

    def begin(self) -> None:
        """An episode from the empty beginning, or from the one in focus."""
        if self.values.size > _MOST_NODES:
            self.values, self.told = Values(len(self.actions)), 0
            self.name = self.task.tree("tree of values") if self.name else ""
        self.values.begin()
        self.place: int = self.task.steering.focus.get(self.name, 0) if self.name else 0
        if self.place >= self.values.size:
            self.place = 0
        self.state = self.legal.start(1)
        for token in self.prefix:
            self.state = self.state.advance(np.array([token]))

    @property
    def prefix(self) -> tuple[int, ...]:
        """The tokens that this episode has settled on."""
        out, node = [], self.place
        while node:
            out.append(int(self.actions[self.values.by[node]]))
            node = int(self.values.above[node])
        return tuple(reversed(out))

    @property
    def over(self) -> bool:
        """Whether the episode has come to a whole law."""
        return bool(self.state.finished[0]) or not self.state.mask()[0, self.actions].any()

    def simulate(self, count: int) -> list[Walk]:
        """So many ways from where the episode stands to whole laws, one step of all at a time."""
        state = self.state.select(np.zeros(count, np.int64))
        node = np.full(count, self.place, np.int32)
        prefix = self.prefix
        words = [list(prefix) for _ in range(count)]
        paths: list[list[tuple[int, int]]] = [[] for _ in range(count)]
        rows = np.arange(count)
        while len(rows):
            chosen = self._choose(node, state)
            going = np.flatnonzero(chosen != _NO)
            rows, node, state, chosen = rows[going], node[going], state.select(going), chosen[going]
            for row, at, action in zip(rows.tolist(), node.tolist(), chosen.tolist()):
                words[row].append(int(self.actions[action]))
                if at != _NO:
                    paths[row].append((at, action))
                    self.values.taken[at, action] += 1
            state = state.advance(self.actions[chosen])
            node = self._follow(node, chosen)
            left = np.flatnonzero(~state.finished)
            rows, node, state = rows[left], node[left], state.select(left)
        whole = self.breeder
        return [
            Walk(path, tuple(word))
            for path, word in zip(paths, words)
            if path and whole.end((*word, PAD), 0) == len(word)
        ]

    def _choose(self, node: np.ndarray, state: LegalState) -> np.ndarray:
        """The next action of each row; -1 where none is legal."""
        mask = state.mask()[:, self.actions]
        odds = mask * self.odds
        inside = np.flatnonzero(node != _NO)
        if len(inside):
            open_ = mask[inside] & ~self._closed(node[inside])
            odds[inside] = self._weighed(node[inside], open_)
        reached = np.cumsum(odds, axis=1)
        luck = self.rng.random(len(node)) * reached[:, -1]
        chosen = np.minimum((reached <= luck[:, None]).sum(axis=1), odds.shape[1] - 1)
        return np.where(reached[:, -1] > 0, chosen, _NO)

    def _weighed(
        self, node: Int32[np.ndarray, " rows"], open_: Bool[np.ndarray, "rows actions"]
    ) -> Float[np.ndarray, "rows actions"]:
        """How likely each open token is at nodes of the tree: first those taken seldom, then the good ones."""
        values, learning = self.values, self.learning
        odds = open_ * self.odds
        if learning.used:
            learned = np.where(open_, values.first[node] + values.second[node], -np.inf)
            most = learned.max(axis=1, keepdims=True, initial=-1e9)
            greedy = self.rng.random((len(node), 1)) < learning.greed
            odds = np.where(greedy, np.exp((learned - most) / _SPREAD), odds)
        seldom = open_ & (values.taken[node] < learning.visits)
        return np.where(seldom.any(axis=1, keepdims=True), seldom * 1.0, odds)

    def _closed(self, node: np.ndarray) -> Bool[np.ndarray, "rows actions"]:
        """Which tokens the person wants nothing from."""
        pruned = self.task.steering.pruned.get(self.name)
        children = self.values.child[node]
        return np.isin(children, list(pruned)) if pruned else np.zeros(children.shape, bool)

    def _follow(self, node: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """The nodes reached; one that is new is made, and the rest of that simulation is not kept."""
        out = np.full(len(node), _NO, np.int32)
        for k, (at, action) in enumerate(zip(node.tolist(), chosen.tolist())):
            if at == _NO:
                continue
            known = int(self.values.child[at, action])
            if known == _NO:
                self.values.grow(at, action)
            else:
                out[k] = known
        return out

    def learn(self, walks: Sequence[Walk], laws: Sequence[tuple[int, ...]]) -> None:
        """Put the rewards back; laws: as they were fitted, in tokens."""
        for walk, law in zip(walks, laws, strict=True):
            beyond = len(walk.tokens) - len(self.prefix) - len(walk.path)
            target = walk.reward * self.learning.discount ** max(0, beyond)
            self.values.learn(walk.path, target, walk.reward, self.learning, bool(self.rng.random() < 0.5))
            node, action = walk.path[-1]
            self.ends.append((int(self.values.child[node, action]), walk.reward, law))

    def settle(self) -> None:
        """Go on to the token below which the best law was seen."""
        open_ = self.state.mask()[0, self.actions] & ~self._closed(np.array([self.place]))[0]
        best = np.where(open_, self.values.best[self.place], -np.inf)
        action = int(best.argmax())
        if best[action] <= 0:  # nothing was found below here
            self.state = self.state.advance(np.array([PAD]))
            return
        self.place = self.values.grow(self.place, action)
        self.state = self.state.advance(self.actions[[action]])

    def growth(self) -> Growth:
        """What the trace has not been told: nodes with the values learned by now, and where simulations ended."""
        values = self.values
        new = np.arange(self.told, values.size)
        self.told = values.size
        above, by = values.above[new], values.by[new]
        token = np.where(above == _NO, _NO, self.actions[np.maximum(by, 0)]).astype(np.int16)
        prior = np.where(above == _NO, 1.0, self.odds[np.maximum(by, 0)]).astype(np.float32)
        state = np.full(len(new), State.OPEN, np.uint8)
        state[[self._whole(int(node)) for node in new]] = State.FINISHED
        ends, self.ends = self.ends, []
        return Growth(
            tree=self.name, id=new.astype(np.int32), parent=above, token=token,
            depth=values.depth[new].astype(np.int16), prior=prior, log_prob=np.zeros(len(new), np.float32),
            value=np.array([values.value(int(node)) for node in new], np.float32), state=state,
            twin=np.full(len(new), _NO, np.int32), ends=[end[0] for end in ends],
            rewards=[end[1] for end in ends], words=[end[2] for end in ends],
        )  # fmt: skip

    def _whole(self, node: int) -> bool:
        """Whether the beginning of a node is a whole law."""
        open_, arity = 1, self.breeder.arity
        while node:
            open_ += arity[int(self.actions[self.values.by[node]])] - 1
            node = int(self.values.above[node])
        return open_ == 0


# -- laws with a known part ------------------------------------------------------------------------------------------


class Frame:
    """Where genomes live and how they are made laws: freely, or in the place of f of a form."""

    def __init__(self, breeder: Breeder, form: Form | None = None):
        self.breeder, self.form = breeder, form
        self.islands = Islands()
        self.seen: set[tuple[int, ...]] = set()
        self.rewards: dict[tuple[int, ...], float] = {}
        self.agent: TreeAgent | None = None

    @property
    def source(self) -> str:
        """As people read it."""
        return "rsrm" if self.form is None else f"rsrm, {self.form.words}"

    @property
    def key(self) -> _Key:
        """Equal for frames of one form, whatever its constants."""
        assert self.form is not None
        return self.form.kind, () if self.form.part is None else self.form.part[0]

    @property
    def room(self) -> int:
        """The complexity that a genome may have."""
        whole = self.law(((CONST,), (1.0,)))
        most = self.breeder.constraints.max_complexity
        return 0 if whole is None else most - whole[0].complexity + 1

    def law(self, genome: Genome) -> tuple[Phrase, int] | None:
        """The law to fit, and the number of constants before those of the dressed genome; None where it has none."""
        dressed = self.breeder.dress(genome)
        if self.form is None:
            return dressed, 0
        around = self.form.around((dressed.tokens, dressed.constants), self.breeder)
        if around is None:
            return None
        (tokens, constants), before = around
        return Phrase(tokens, constants, self.breeder.complexity(tokens)), before

    def proposable(self, genome: Genome) -> Phrase | None:
        """The law, where the constraints allow it."""
        tokens = genome[0]
        arity, breeder = self.breeder.arity, self.breeder
        if all(t == CONST or arity[t] for t in tokens) or not breeder.legal.issuperset(tokens):
            return None
        found = self.law(genome)
        if found is None or found[0].complexity > breeder.constraints.max_complexity:
            return None
        allowed = not breeder.checked or breeder.constraints.allows(found[0].tokens)
        return found[0] if allowed else None

    def spelled(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        """The law as it is fitted, in tokens."""
        found = self.law((tokens, (1.0,) * tokens.count(CONST)))
        return tokens if found is None else found[0].tokens

    def fitted(self, genome: Genome, constants: Sequence[float]) -> Genome:
        """The genome with its share of the constants of the fitted law."""
        found = self.law(genome)
        assert found is not None
        dressed = self.breeder.dress(genome)
        own = tuple(constants[found[1] : found[1] + len(dressed.constants)])
        return self.breeder.undress(dressed.tokens, own)


@dataclass(frozen=True)
class _Batch:
    """What came of a batch, by row.

    proposed: genomes as they were made; fitted: with their constants; wholes: the fitted laws; fvu: `[K]`.
    """

    proposed: list[Genome]
    fitted: list[Genome]
    wholes: list[Genome]
    fvu: Float[np.ndarray, " laws"]


Fitting = Generator[Proposals, "Fits | None", "_Batch | None"]


class Machine:
    """The epochs of one search; see `rsrm` for the settings."""

    def __init__(
        self, task: Task, *, tree: bool, evolution: bool, forms: bool, learning: Learning, max_length: int,
        simulations: int, generations: int,
    ):  # fmt: skip
        self.task, self.breeder = task, Breeder(task, "rsrm")
        self.tree, self.evolution, self.forms, self.learning = tree, evolution, forms, learning
        self.max_length, self.simulations, self.generations = max_length, simulations, generations
        self.free = Frame(self.breeder)
        self.frames: dict[_Key, Frame] = {}  # of the forms of late
        self.turns: Counter[_Key] = Counter()
        self.good: list[tuple[float, Genome]] = []  # the best laws so far, whatever found them
        self.trees = 0
        self.said = ""  # of the form that was found last, until it is told
        self.proposed = 0

    def run(self) -> Method:
        """Epochs, until the time is up or nothing new is found."""
        barren = 0
        yield from self.sow()
        while self.task.remaining > 0 and barren < _BARREN:
            before = self.proposed
            yield from self.half(self.free)
            formed = self.formed() if self.forms else None
            if formed is not None:
                yield from self.half(formed)
            barren = 0 if self.proposed > before else barren + 1

    def sow(self) -> Method:
        """The columns, small laws, and what the person requires."""
        breeder = self.breeder
        laws: list[Genome] = [((v,), ()) for v in breeder.variables]
        if self.evolution:
            laws += [breeder.sprout(2) for _ in range(_GENERATION)]
        if self.task.constraints.require:
            laws += [breeder.with_required(breeder.sprout(1)) for _ in range(_GENERATION)]
        yield from self.fit(self.free, [(law, SOWN) for law in laws])

    def half(self, frame: Frame) -> Method:
        """A tree search and evolution, free or within a form."""
        if self.tree:
            yield from self.search(frame)
        if self.evolution:
            yield from self.evolve(frame)

    # -- tree search

    def agent(self, frame: Frame) -> TreeAgent:
        """The tree search of a frame."""
        if frame.agent is None:
            title = "tree search" if frame.form is None else f"tree search of f in {frame.form.words}"
            self.trees += 1
            name = self.task.tree(title) if self.trees <= _MOST_TREES else ""
            frame.agent = TreeAgent(
                self.task, self.breeder, self.learning, frame.room, min(self.max_length, frame.room), name
            )
        return frame.agent

    def search(self, frame: Frame) -> Method:
        """One episode; its best laws go on to evolution."""
        agent = self.agent(frame)
        if not agent.possible:
            return
        agent.begin()
        met: list[tuple[float, Genome]] = []
        while not agent.over and self.task.remaining > 0:
            for _ in range(2):
                walks = agent.simulate(1 if self.task.steering.single else self.simulations // 2)
                met += yield from self.judge(frame, agent, walks)
            agent.settle()
            if agent.name:
                yield Proposals(np.empty((0, 1), np.int16), None, frame.source, growth=agent.growth())
        for fvu, genome in best_of(met, _HANDED_ON):
            frame.islands.admit(fvu, self.breeder.complexity(genome[0]), genome)

    def judge(
        self, frame: Frame, agent: TreeAgent, walks: list[Walk]
    ) -> Generator[Proposals, "Fits | None", list[tuple[float, Genome]]]:
        """Fit what simulations met for the first time, put all rewards back, and answer what was fitted."""
        known = frame.rewards
        if len(known) > _MOST_KNOWN:
            known.clear()
        fresh = list(dict.fromkeys(walk.tokens for walk in walks if walk.tokens not in known))
        known.update(dict.fromkeys(fresh, 0.0))
        number = self.breeder.number
        jobs = [((word, tuple([number() for t in word if t == CONST])), _SIMULATED) for word in fresh]
        batch = yield from self.fit(frame, jobs, restarts=1)
        if batch is not None:
            complexity = np.array([self.breeder.complexity(tokens) for tokens, _ in batch.wholes], np.float64)
            got = worth(batch.fvu, complexity).tolist()
            known.update(zip([tokens for tokens, _ in batch.proposed], got))
        for walk in walks:
            walk.reward = known[walk.tokens]
        agent.learn(walks, [frame.spelled(walk.tokens) for walk in walks])
        return [] if batch is None else list(zip(batch.fvu.tolist(), batch.fitted))

    # -- evolution

    def evolve(self, frame: Frame) -> Method:
        """Some generations on the islands of a frame."""
        if frame.form is None:
            sown = [self.breeder.undress(tokens, constants) for tokens, constants, _ in self.task.best()]
        else:
            sown = [] if frame.seen else [self.breeder.sprout(2) for _ in range(_GENERATION)]
        new = [(genome, SOWN) for genome in sown if genome[0] not in frame.seen]
        frame.seen.update(genome[0] for genome in sown)
        yield from self.bred(frame, new)
        for _ in range(self.generations):
            if self.task.remaining <= 0:
                return
            frame.islands.update_front()
            limit = self.task.constraints.max_complexity
            born = children(self.breeder, frame.islands, frame.seen, limit, _GENERATION)
            yield from self.bred(frame, born)

    def bred(self, frame: Frame, born: Sequence[Child]) -> Method:
        """Have genomes fitted; those that have an error live on the islands of the frame."""
        batch = yield from self.fit(frame, born)
        if batch is not None:
            for fvu, genome in zip(batch.fvu.tolist(), batch.fitted):
                if np.isfinite(fvu):
                    frame.islands.admit(fvu, self.breeder.complexity(genome[0]), genome)

    # -- forms

    def formed(self) -> Frame | None:
        """Of the forms that the good laws suggest, the one that had the fewest turns; None where there is none."""
        frames = [Frame(self.breeder, form) for form in discover(self.good, self.breeder)]
        frames = [frame for frame in frames if frame.room >= 1]
        if not frames:
            return None
        chosen = min(frames, key=lambda frame: self.turns[frame.key])
        key, form = chosen.key, chosen.form
        assert form is not None
        if key not in self.turns:
            where = "" if form.part is None else f", where A is {self.spelled(form.part[0])}"
            self.said = f"Good laws have the form {form.words}{where}; f is looked for."
        self.turns[key] += 1
        frame = self.frames.pop(key, chosen)
        self.frames[key] = frame
        while len(self.frames) > _MOST_FRAMES:
            del self.frames[next(iter(self.frames))]
        return frame

    def spelled(self, tokens: tuple[int, ...]) -> str:
        """Tokens as people read them."""
        return Expression(tokens, (FREE,) * tokens.count(CONST), self.task.vocabulary).infix(digits=3)

    # -- fitting

    def fit(self, frame: Frame, born: Sequence[Child], restarts: int = 0) -> Fitting:
        """Have genomes fitted within a frame, as far as the constraints allow them; None where nothing was."""
        laws = [(genome, law, how) for genome, how in born if (law := frame.proposable(genome)) is not None]
        if not laws:
            return None
        self.proposed += len(laws)
        tokens, starts = pack_phrases([law for _, law, _ in laws])
        origins = [self.origin(frame, how, parents) for _, _, (how, parents) in laws]
        said, self.said = self.said, ""
        fits = yield Proposals(
            tokens, starts, frame.source, restarts=restarts, steps=12, origins=origins, said=said
        )
        if fits is None:
            return None
        proposed = [genome for genome, _, _ in laws]
        rows = [fits.constants[k, : len(law.constants)].tolist() for k, (_, law, _) in enumerate(laws)]
        fvu = np.where(np.isfinite(fits.fvu), fits.fvu, np.inf)
        fitted = [
            frame.fitted(genome, row) if error < np.inf else genome
            for genome, row, error in zip(proposed, rows, fvu.tolist())
        ]
        wholes = [(law.tokens, tuple(row)) for (_, law, _), row in zip(laws, rows)]
        self.remember(frame, fvu, wholes)
        return _Batch(proposed, fitted, wholes, fvu)

    def origin(self, frame: Frame, how: str, parents: tuple[Genome, ...]) -> Origin:
        """How a law was made, and of what; within a form, of its known part."""
        if frame.form is None:
            return Origin(how, tuple(self.breeder.dress(genome).tokens for genome in parents))
        part = frame.form.part
        return Origin(f"{how} in {frame.form.words} with A", () if part is None else (part[0],))

    def remember(self, frame: Frame, fvu: np.ndarray, wholes: list[Genome]) -> None:
        """The best laws, for what they have in common; what a form found goes back to free evolution."""
        order = np.argsort(fvu, kind="stable")[:_GOOD]
        for error, whole in [(float(fvu[k]), wholes[k]) for k in order if np.isfinite(fvu[k])]:
            core = self.breeder.undress(*whole)
            if frame.form is not None:
                self.free.islands.admit(error, self.breeder.complexity(core[0]), core)
            self.good.append((error, core))
        by_error: dict[str, tuple[float, Genome]] = {}
        for error, law in sorted(self.good, key=lambda law: (law[0], len(law[1][0]))):
            by_error.setdefault(f"{error:.6e}", (error, law))
        self.good = list(by_error.values())[:_GOOD]


def rsrm(
    task: Task,
    tree: bool = True,
    learning: bool = True,
    evolution: bool = True,
    forms: bool = True,
    max_length: int = 20,
    simulations: int = 256,
    generations: int = 6,
    visits: int = 4,
    rate: float = 0.1,
    discount: float = 0.95,
    greed: float = 0.6,
) -> Method:
    """Tree search, Q-learning, evolution and forms, epoch by epoch until the time is up.

    tree, learning, evolution, forms: which parts are used; tree search or evolution has to be.
    max_length: most tokens of a law of the tree search.
    simulations: of the tree search before each step that it settles on.
    generations: of evolution after each tree search.
    visits: times that a token comes first in an episode, before learned values count.
    rate, discount: of Q-learning; greed: how often learned values choose a token, and not chance.

    Raises UsageError for a setting that makes no sense.
    """
    if not (tree or evolution):
        raise UsageError(
            "Neither tree search nor evolution is left, and nothing else proposes; leave one of them in."
        )
    least = {"max_length": 1, "simulations": 2, "generations": 1, "visits": 1}
    came = {
        "max_length": max_length,
        "simulations": simulations,
        "generations": generations,
        "visits": visits,
    }
    for name, bound in least.items():
        if came[name] < bound:
            raise UsageError(f"The {name} of rsrm is {came[name]}; give at least {bound}.")
    for name, share in {"rate": rate, "discount": discount, "greed": greed}.items():
        if not 0 <= share <= 1:
            raise UsageError(f"The {name} of rsrm is {share}; give a number from 0 to 1.")
    learned = Learning(visits, rate, discount, greed, learning)
    return Machine(
        task, tree=tree, evolution=evolution, forms=forms, learning=learned, max_length=max_length,
        simulations=simulations, generations=generations,
    ).run()  # fmt: skip
