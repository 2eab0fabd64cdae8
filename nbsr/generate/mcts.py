"""Tree search: which beginnings of an expression lead to good laws is learned from the laws that were refined.

A node of the tree is a beginning, a prefix of tokens.  Each round goes down from the root to many leaves at once, by
PUCT with the policy's masked probabilities as prior and a virtual loss that keeps the walks apart; completes the
leaves by the policy, all in one go; has the completions refined; and puts the rewards back along the way.  Every step
of a completion that was refined is a node afterwards, since the policy has been asked there already; so no completion
is met twice, and the search closes in on what is good from its last tokens upwards.

What the laws refined so far have in common tilts the policy: a ridge regression of their rewards on how often they
hold each token finds columns and functions that go with good laws on this table, and adds to the logits of those.

With a learned value there are several completions for every refinement, and the same regression, with the value of the
finished expression as one more regressor, decides which are worth it: the value counts for as much as it has been right
about this table.

With a recipe for extremes (nbsr/generate/extremes) every node keeps the best laws that went through it, the child with
the best of them is chosen, and a walk may end in a jump: a law bred of those in the queue of the node where it is. Such
a law goes to the queues of the nodes above and of those below that spell it, and to a node that is made there later.

Sources: Korbak et al., "RL with KL penalties is better viewed as Bayesian inference" (EMNLP Findings 2022), for a
policy tilted by the exponential of a reward, here one that is linear in the tokens and so can be drawn token by token;
Silver et al., "Mastering the game of Go without human knowledge" (Nature 2017), for PUCT; Schrittwieser et al.,
arXiv 1911.08265, for values scaled between the least and the greatest seen; Czech et al., arXiv 2012.11045, for
statistics that transpositions share; Winands et al., "Monte-Carlo tree search solver" (CG 2008).
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int16

from nbsr.errors import UsageError, did_you_mean
from nbsr.expression import PAD, is_complete
from nbsr.expression.legal import LegalMask
from nbsr.generate.base import Method, Origin, Proposals, Task, reward
from nbsr.generate.decode import Canonical
from nbsr.generate.extremes import Chance, Extremes, Recipe, worth
from nbsr.generate.tree import CLOSED, NEW, NONE, OPEN, REST, WHOLE, Tree, commuted
from nbsr.trace import Growth

__all__ = ["Leaning", "Search", "Trial", "Walk", "imcts", "mcts"]

BACKUPS = {"mean": 0.0, "mix": 0.5, "max": 1.0}  # the share of the best reward in a node's worth
_DOUBT = 0.25  # an unvisited child is worth its parent less this, times the root of the prior seen already
_SPAN = 0.25  # worths closer together than this are not spread over the whole scale
_LEAST_LAWS = 16  # refined, before the policy is tilted
_RIDGE = 3.0  # laws' worth of spread in the tokens' counts
_RIDGE_OF_VALUE = 1 / 3  # laws' worth of spread in the value
_LEAST_SPREAD = 1e-6  # of the value
_MOST_TILT = 3.0  # of a logit
_FLOOR = 30.0  # a legal token is at most exp(-30) less likely than the likeliest
_BARREN = 200  # rounds without a law to refine, before the search ends
_TRIES = 4  # at a jump, before the walk goes on


# -- completions ----------------------------------------------------------------------------------------------------


@dataclass
class Walk:
    """A way from the root to a leaf: its nodes, and the place of each but the first among its parent's children.

    law: of a jump, in whole; the leaf is then the last node that spells it.  origin: what it was bred of.
    """

    nodes: list[int]
    slots: list[int]
    law: tuple[int, ...] | None = None
    origin: Origin | None = None

    @property
    def leaf(self) -> int:
        return self.nodes[-1]


@dataclass
class _Completions:
    """Leaves carried on to whole expressions, and what the policy said on the way.

    tokens: `[R, L]` padded; begin, length: `[R]` of the leaf and of the whole.
    order, share: `[R, L, top]` the likeliest next tokens after the first t tokens, and their probabilities.
    value: `[R, L + 1]` learned value after the first t tokens, NaN where not asked.
    log_prob: `[R]` of what was added to the leaf.
    """

    tokens: np.ndarray
    begin: np.ndarray
    length: np.ndarray
    order: np.ndarray
    share: np.ndarray
    value: np.ndarray
    log_prob: np.ndarray

    @classmethod
    def of(cls, prefixes: list[tuple[int, ...]], most: int, top: int) -> "_Completions":
        rows = len(prefixes)
        tokens = np.full((rows, most), PAD, np.int16)
        begin = np.array([len(p) for p in prefixes], np.int64)
        for row, prefix in enumerate(prefixes):
            tokens[row, : len(prefix)] = prefix
        return cls(
            tokens, begin, begin.copy(), np.full((rows, most, top), NONE, np.int16),
            np.zeros((rows, most, top), np.float32), np.full((rows, most + 1), np.nan), np.zeros(rows),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.tokens)

    def spell(self, row: int) -> tuple[int, ...]:
        return tuple(self.tokens[row, : self.length[row]].tolist())


@dataclass
class Trial:
    """A whole expression and the way to it.

    walk: from the root on, to the expression itself where the tree has room for it.
    tokens, law: as spelled, and the key of what it says.
    values: learned value at each node of the way, NaN where not asked.
    value: the learned value of the expression; foreseen: the reward it can be expected to have.
    log_prob: under the policy; credited: whether its reward was put back along the way.
    """

    walk: Walk
    tokens: tuple[int, ...]
    law: Hashable | None
    values: np.ndarray
    value: float
    foreseen: float
    log_prob: float
    credited: bool = False


def ranked(
    logits: Float[np.ndarray, "rows size"], legal: Bool[np.ndarray, "rows size"], top: int
) -> tuple[Int16[np.ndarray, "rows top"], Float32[np.ndarray, "rows top"]]:
    """The likeliest legal tokens and their probabilities; where there are more, the last stands for all others."""
    inside = np.where(legal, logits.astype(np.float64), -np.inf)
    most = inside.max(axis=1, keepdims=True)
    most[~np.isfinite(most)] = 0.0
    odds = np.exp(np.clip(inside - most, -_FLOOR, 0.0)) * legal
    odds /= odds.sum(axis=1, keepdims=True)
    order = np.argsort(-odds, axis=1, kind="stable")[:, :top]
    share = np.take_along_axis(odds, order, axis=1)
    tokens = np.where(share > 0, order, NONE).astype(np.int16)
    crowded = legal.sum(axis=1) > top
    tokens[crowded, -1] = REST
    share[crowded, -1] = np.maximum(1.0 - share[crowded, :-1].sum(axis=1), share[crowded, -1])
    return tokens, share.astype(np.float32)


class Leaning:
    """What laws refined on this table have in common: ridge regressions of the reward.

    On the counts of the tokens alone, for `logits [size]`: what is to be added to those of the policy.  On the counts
    and the learned value, to foresee the reward of a law.

    Arguments:
        size: tokens of the vocabulary.
        tilt: logits for a reward of one.
    """

    def __init__(self, size: int, tilt: float):
        self.size, self.tilt = size, tilt
        self.laws = 0
        self.sums = np.zeros(size + 2)  # of the counts of each token, of the value and of the reward
        self.squares = np.zeros((size + 2, size + 2))  # of the products of these
        self.logits = np.zeros(size)
        self.slope: np.ndarray | None = None

    def learn(
        self, laws: Sequence[tuple[int, ...]], values: Sequence[float], rewards: Sequence[float]
    ) -> None:
        """Take more laws in; without a learned value, `values` are all alike."""
        size = self.size
        for law, value, got in zip(laws, values, rewards, strict=True):
            row = np.concatenate([np.bincount(law, minlength=size), [value, got]])
            self.sums += row
            self.squares += np.outer(row, row)
        self.laws += len(laws)
        if self.laws < _LEAST_LAWS:
            return
        within = self.squares - np.outer(self.sums, self.sums) / self.laws
        spread = np.trace(within[:size, :size]) / self.laws
        if spread <= 0:
            return
        ridge = np.full(size + 1, _RIDGE * spread)
        ridge[size] = _RIDGE_OF_VALUE * max(within[size, size] / self.laws, _LEAST_SPREAD)
        self.slope = np.linalg.solve(within[:-1, :-1] + np.diag(ridge), within[:-1, -1])
        alone = np.linalg.solve(within[:size, :size] + np.diag(ridge[:size]), within[:size, -1])
        self.logits = np.clip(self.tilt * alone, -_MOST_TILT, _MOST_TILT)

    def foresee(self, law: tuple[int, ...], value: float) -> float:
        """The reward that a law can be expected to have; its value as learned, before enough is known."""
        if self.slope is None:
            return value
        row = np.append(np.bincount(law, minlength=self.size), value)
        mean = self.sums / self.laws
        return float(mean[-1] + (row - mean[:-1]) @ self.slope)


# -- the search -----------------------------------------------------------------------------------------------------


class Search:
    """One tree search, step by step.

    A round is some waves, each of which is to `select` leaves, to `complete` them, and to `lay` the completions into
    the tree; then to `pick` what to refine, and to `learn` from the rewards.
    """

    def __init__(
        self,
        task: Task,
        tree: Tree,
        *,
        batch: int = 32,
        exploration: float = 2.0,
        value_weight: float = 0.0,
        temperature: float = 0.0,
        max_length: int = 32,
        top: int = 32,
        canonical: Canonical | None = None,
        backup: str = "mix",
        use_value: bool = True,
        candidates: int = 3,
        tilt: float = 20.0,
        max_nodes: int = 100_000,
        rows: int = 128,
        recipe: Recipe | None = None,
    ):
        assert task.next_token is not None
        self.task, self.tree, self.policy = task, tree, task.next_token
        self.batch, self.exploration, self.temperature = batch, exploration, temperature
        self.max_length, self.max_nodes, self.rows = max_length, max_nodes, rows
        self.greed = BACKUPS[backup]
        self.top = min(top, task.vocabulary.size)
        self.legal = LegalMask(task.vocabulary, task.constraints, max_length, task.forced)
        self.rng = task.random("mcts")
        self.leaning = Leaning(task.vocabulary.size, tilt)
        self.extremes = None if recipe is None else Extremes(task, recipe, tree, self.legal)
        self.judge = reward if recipe is None else worth
        use_value = use_value and recipe is None  # a jump has none
        value = self.policy(np.zeros((1, 0), np.int16), None).value if use_value else None
        self.judged = value is not None
        self.value_weight = value_weight if self.judged else 0.0
        self.waves = candidates if self.judged else 1
        self.place, self.law = _keys(task, canonical)
        self.places: dict[Hashable, int] = {}
        self.rewards: dict[Hashable, float] = {None: 0.0}
        self.least, self.greatest = np.inf, -np.inf
        self.wave = self.last_wave = 0
        tree.reset(self.top)
        self.name = task.tree("tree search")
        self.told = 0  # nodes that the trace has by now
        self.ended: list[
            tuple[int, float, tuple[int, ...]]
        ] = []  # and what was credited since, but not by refining
        self.root = 0  # the node below which walks go
        self.steered = task.steering.version

    def run(self, simulations: int | None) -> Method:
        """Rounds until the time, the simulations or the tree is used up, or nothing new comes; each yields once."""
        tree, barren = self.tree, 0
        most = math.inf if simulations is None else simulations
        while self.task.remaining > 0 and most > 0 and barren < _BARREN and not tree.solved[0]:
            self.steer()
            batch = 1 if self.task.steering.single else self.batch
            trials: list[Trial] = []
            on_way: list[Walk] = []
            self.last_wave = self.wave + self.waves
            try:
                for _ in range(self.waves):
                    walks = self.select(int(min(batch, most)))
                    on_way += walks
                    most -= len(walks)
                    trials += [self.land(walk) for walk in walks if walk.law is not None]
                    walks = [walk for walk in walks if walk.law is None]
                    if walks:
                        trials += self.lay(walks, self.complete(walks))
                chosen = self.pick(trials)
                if not on_way and self.closed():
                    if not self.root:
                        return
                    self.root = 0  # nothing is left below the node in focus
                barren = 0 if chosen else barren + 1
                self.learn(trials, chosen, (yield self.proposals(chosen)))
            finally:
                self.release(on_way)
            self.wave = self.last_wave
            if tree.size > self.max_nodes:
                self.forget()

    # -- what the person wants

    def steer(self) -> None:
        """Close what was pruned, open what was given back, and go below the node in focus."""
        steering, tree = self.task.steering, self.tree
        if steering.version == self.steered:
            return
        self.steered = steering.version
        wanted = np.zeros(tree.size, bool)
        for serial in steering.pruned.get(self.name, ()):
            node = tree.find(serial)
            if node != NONE:
                wanted[node] = True
        tree.pruned[: tree.size] = wanted
        focus = steering.focus.get(self.name)
        self.root = max(0, tree.find(focus)) if focus is not None else 0

    def closed(self) -> bool:
        """Whether the person keeps walks from some of the tree."""
        return self.root != 0 or bool(self.tree.pruned[: self.tree.size].any())

    # -- down

    def select(self, most: int) -> list[Walk]:
        """Walks to different leaves, each made less attractive to the next by a virtual loss."""
        self.wave += 1
        walks: list[Walk] = []
        while len(walks) < most:
            walk = self.descend()
            if walk is None:
                break
            self.tree.virtual[walk.nodes] += 1
            if walk.law is None or self.tree.kind[walk.leaf] == WHOLE:
                self.tree.barred[walk.leaf] = self.wave
            walks.append(walk)
        return walks

    def release(self, walks: list[Walk]) -> None:
        """Take the virtual losses back; the list is empty then."""
        while walks:
            self.tree.virtual[walks.pop().nodes] -= 1

    def descend(self) -> Walk | None:
        """One way to a leaf that is neither solved nor on the way already, or to a jump; None where there is none."""
        tree = self.tree
        walk = self.way_to(self.root)
        above = len(walk.nodes) - 1
        while len(walk.nodes) > above:
            node = walk.leaf
            slot = NONE
            if not (tree.solved[node] or tree.pruned[node] or tree.barred[node] >= self.wave):
                if tree.kind[node] != OPEN:
                    return walk
                jump = self.jump(walk)
                if jump is not None:
                    return jump
                slot = self.choose(node)
            if slot != NONE:
                walk.slots.append(slot)
                walk.nodes.append(self.child(node, slot))
                continue
            if tree.kind[node] == OPEN and tree.finished(node):
                tree.solved[node] = True
            tree.barred[node] = self.wave
            walk.nodes.pop()
            if walk.slots:
                walk.slots.pop()
        return None

    def way_to(self, node: int) -> Walk:
        """The way from the root to a node on which that was met first."""
        nodes = [node]
        while nodes[-1] > 0:
            nodes.append(int(self.tree.parent[nodes[-1]]))
        nodes.reverse()
        slots = [
            int(np.flatnonzero(self.tree.children[above] == below)[0])
            for above, below in zip(nodes, nodes[1:])
        ]
        return Walk(nodes, slots)

    def jump(self, walk: Walk) -> Walk | None:
        """A way to a law that nobody met, bred of the queue of the node where the walk is; None where none is due."""
        if self.extremes is None or not self.extremes.jumps.due():
            return None
        beginning, elsewhere = self.tree.spell(walk.leaf), self.tree.passed_over(walk.leaf)
        for _ in range(_TRIES):
            made = self.extremes.child(walk.leaf, beginning)
            if made is None or made[0][len(beginning)] in elsewhere or self.law(made[0]) in self.rewards:
                continue
            way = Walk(list(walk.nodes), list(walk.slots), *made)
            for token in made[0][len(beginning) :]:
                if not self.reach(way, token):
                    break
            if not self.tree.pruned[way.nodes[len(walk.nodes) :]].any():
                return way
        return None

    def choose(self, node: int) -> int:
        """The place of the child to visit next; NONE where none is left."""
        if self.extremes is None:
            return self.puct(node)
        slot = self.extremes.choose(node, self.open_slots(node))
        return self.puct(node) if slot == NONE and not self.extremes.recipe.index else slot

    def open_slots(self, node: int) -> list[tuple[int, int]]:
        """The places of the children that are left, each with its visits, those on the way included."""
        tree, out = self.tree, []
        for slot, child in enumerate(tree.children[node, : tree.width[node]].tolist()):
            if child == NONE:
                out.append((slot, 0))
            elif child != CLOSED and not (
                tree.solved[child] or tree.pruned[child] or tree.barred[child] >= self.wave
            ):
                out.append((slot, int(tree.visits[child] + tree.virtual[child])))
        return out

    def puct(self, node: int) -> int:
        """The place of the child to visit next by PUCT; NONE where none is left."""
        tree, wave = self.tree, self.wave
        width = tree.width[node]
        priors = tree.priors[node, :width].tolist()
        tried = tree.tried[node, :width].tolist()
        root = self.exploration * math.sqrt(max(1, tree.visits[node] + tree.virtual[node]))
        best, place, seen = -math.inf, NONE, 0.0
        fresh: list[tuple[float, int]] = []
        for slot, child in enumerate(tree.children[node, :width].tolist()):
            if child == CLOSED:
                continue
            pending = visits = 0
            if child >= 0:
                visits = tree.visits[child]
                seen += priors[slot] if visits else 0.0
                if tree.solved[child] or tree.pruned[child] or tree.barred[child] >= wave:
                    continue
                pending = tree.virtual[child]
            urge = root * priors[slot] / (1 + tried[slot] + pending)
            if not visits:
                fresh.append((urge, -slot))
                continue
            score = self.worth(child) * visits / (visits + pending) + urge
            if score > best:
                best, place = score, slot
        if fresh:
            urge, slot = max(fresh)
            if max(0.0, self.worth(node) - _DOUBT * math.sqrt(seen)) + urge > best:
                place = -slot
        return place

    def worth(self, node: int) -> float:
        """Mean and best of what was found below, scaled between the least and the greatest seen anywhere."""
        tree = self.tree
        worth = tree.total[node] / max(1, tree.visits[node])
        if tree.best[node] >= 0:
            worth += self.greed * (tree.best[node] - worth)
        return min(1.0, max(0.0, (worth - self.least) / max(_SPAN, self.greatest - self.least)))

    def child(self, node: int, slot: int) -> int:
        """The node behind an edge, made or found among the positions met before."""
        tree = self.tree
        child = int(tree.children[node, slot])
        if child != NONE:
            return child
        token, prior = int(tree.tokens[node, slot]), float(tree.priors[node, slot])
        log_prob = float(tree.log_prob[node] + np.log(prior))
        depth = int(tree.depth[node])
        if token == REST:
            child = tree.add(node, REST, prior, log_prob, depth)
        else:
            prefix = (*tree.spell(node), token)
            key = self.place(prefix)
            child = self.places.get(key, NONE)
            if child == NONE:
                child = tree.add(node, token, prior, log_prob, depth + 1)
                tree.solved[child] = key is None
                if key is not None:
                    self.places[key] = child
                if is_complete(prefix, self.task.vocabulary.arities):
                    tree.kind[child] = WHOLE
                    known = self.rewards.get(self.law(prefix))
                    if known is not None:
                        tree.solved[child], tree.best[child] = True, known
        tree.children[node, slot] = child
        if self.extremes is not None:
            self.extremes.hand_down(node, slot)
        tree.best[node] = max(tree.best[node], tree.best[child])
        return child

    # -- completing

    def complete(self, walks: list[Walk]) -> _Completions:
        """The leaves completed by the policy, each once."""
        tree = self.tree
        done = _Completions.of([tree.spell(walk.leaf) for walk in walks], self.max_length, self.top)
        luck = self.rng.random((len(done), self.max_length))
        listed = {
            row: tree.passed_over(walk.leaf)
            for row, walk in enumerate(walks)
            if tree.token[walk.leaf] == REST
        }
        # a leaf that is whole already is asked about for its value alone
        rows = np.flatnonzero([self.judged or tree.kind[walk.leaf] == NEW for walk in walks])
        rows = rows[np.argsort(done.begin[rows], kind="stable")]
        for start in range(0, len(rows), self.rows):
            self.decode(done, rows[start : start + self.rows], luck, listed)
        return done

    def decode(
        self, done: _Completions, rows: np.ndarray, luck: np.ndarray, listed: dict[int, list[int]]
    ) -> None:
        """Complete these rows together: known tokens are fed, the others drawn.

        listed: by row, tokens that its leaf has passed over.
        """
        at = int(done.begin[rows].min())
        legal = self.legal.start(len(rows))
        for t in range(at):
            legal = legal.advance(done.tokens[rows, t])
        step = self.policy(done.tokens[rows, :at], None)
        while True:
            state, logits = step.state, step.logits
            if self.judged and step.value is not None:
                done.value[rows, at] = np.clip(step.value, 0.0, 1.0)
            going = np.flatnonzero(~legal.finished)
            if len(going) < len(rows):
                rows, legal, logits = rows[going], legal.select(going), logits[going]
                state = state.select(going)
            if not len(rows):
                return
            mask = legal.mask()
            for k, row in enumerate(rows.tolist()):
                if row in listed and done.begin[row] == at:
                    mask[k, listed[row]] = False
            order, share = ranked(logits + self.leaning.logits, mask, self.top)
            done.order[rows, at], done.share[rows, at] = order, share
            free = done.begin[rows] <= at
            place = self.draw(order, share, luck[rows, at])
            every = np.arange(len(rows))
            done.tokens[rows, at] = np.where(free, order[every, place], done.tokens[rows, at])
            done.log_prob[rows] += np.where(free, np.log(share[every, place]), 0.0)
            legal = legal.advance(done.tokens[rows, at])
            at += 1
            done.length[rows] = at
            if not self.judged:
                going = np.flatnonzero(~legal.finished)
                if len(going) < len(rows):
                    rows, legal, state = rows[going], legal.select(going), state.select(going)
                if not len(rows):
                    return
            step = self.policy(done.tokens[rows, at - 1 : at], state)

    def draw(self, order: np.ndarray, share: np.ndarray, luck: np.ndarray) -> np.ndarray:
        """The place of one token in each row, by tempered probability; the likeliest at temperature 0."""
        if self.temperature == 0:
            return np.zeros(len(order), np.intp)
        odds = np.where(order >= 0, share.astype(np.float64), 0.0)
        odds = (odds / odds.max(axis=1, keepdims=True)) ** (1 / self.temperature)
        reached = np.cumsum(odds, axis=1)
        return (reached <= luck[:, None] * reached[:, -1:]).sum(axis=1)

    def lay(self, walks: list[Walk], done: _Completions) -> list[Trial]:
        """Make nodes of the completions' tokens, and credit those whose reward is known."""
        trials = []
        for row, walk in enumerate(walks):
            begin, length = int(done.begin[row]), int(done.length[row])
            log_prob = float(self.tree.log_prob[walk.leaf] + done.log_prob[row])
            way = Walk(list(walk.nodes), list(walk.slots))
            values = [done.value[row, begin]] * len(way.nodes)
            for t in range(begin, length):
                self.unfold(way.leaf, done, row, t)
                if not self.step(way, int(done.tokens[row, t])):
                    break
                values.append(done.value[row, t + 1])
            tokens = done.spell(row)
            value = float(np.nan_to_num(done.value[row, length]))
            foreseen = self.leaning.foresee(tokens, value)
            trial = Trial(way, tokens, self.law(tokens), np.array(values), value, foreseen, log_prob)
            if self.tree.kind[way.leaf] == WHOLE:
                self.tree.value[way.leaf] = done.value[row, length]
                self.tree.barred[way.leaf] = self.last_wave
            known = self.rewards.get(trial.law)
            if known is not None:
                self.credit(trial, known)
                self.ended.append((int(self.tree.serial[way.leaf]), known, tokens))
            trials.append(trial)
        return trials

    def land(self, walk: Walk) -> Trial:
        """A jump as a trial; the policy did not draw it, so that it has no probability."""
        assert walk.law is not None
        if self.tree.kind[walk.leaf] == WHOLE:
            self.tree.barred[walk.leaf] = self.last_wave
        unasked = np.full(len(walk.nodes), np.nan)
        return Trial(
            walk, walk.law, self.law(walk.law), unasked, 0.0, self.leaning.foresee(walk.law, 0.0), math.nan
        )

    def step(self, way: Walk, token: int) -> bool:
        """Go on by one token; answers whether there is a node for it."""
        node = way.leaf
        places = np.flatnonzero(self.tree.tokens[node, : self.tree.width[node]] == token)
        if not len(places) or self.tree.children[node, places[0]] == CLOSED:
            return False
        way.slots.append(int(places[0]))
        way.nodes.append(self.child(node, way.slots[-1]))
        return True

    def reach(self, way: Walk, token: int) -> bool:
        """Go on by one token, which may be among all others; answers whether there is a node for it."""
        while not self.step(way, token):
            if not self.step(way, REST):
                return False
        return True

    # -- refining

    def pick(self, trials: list[Trial]) -> list[Trial]:
        """What to refine, each law once: those of which most is foreseen, and as many as the walks came by first."""
        first: dict[Hashable, Trial] = {}
        for trial in trials:
            if trial.law not in self.rewards:
                first.setdefault(trial.law, trial)
        hope = sorted(first.values(), key=lambda trial: -trial.foreseen)
        promised = {trial.law: trial for trial in hope[: (self.batch + 1) // 2]}
        return list((promised | first).values())[: self.batch]

    def proposals(self, chosen: list[Trial]) -> Proposals:
        longest = max((len(trial.tokens) for trial in chosen), default=1)
        tokens = np.full((len(chosen), longest), PAD, np.int16)
        for row, trial in enumerate(chosen):
            tokens[row, : len(trial.tokens)] = trial.tokens
        log_prob = np.array([trial.log_prob for trial in chosen])
        nodes = [int(self.tree.serial[trial.walk.leaf]) for trial in chosen]
        source, restarts, steps = ("mcts", 8, 30) if self.extremes is None else ("imcts", 2, 50)
        return Proposals(
            tokens, None, source, log_prob, restarts=restarts, steps=steps, growth=self.growth(), nodes=nodes,
            origins=[trial.walk.origin for trial in chosen] if self.extremes is not None else None,
        )  # fmt: skip

    def growth(self) -> Growth:
        """What the tree gained since it was told last."""
        ends, self.ended = self.ended, []
        told, self.told = self.told, self.tree.born
        return replace(
            self.tree.since(told, self.name), ends=[end[0] for end in ends], rewards=[end[1] for end in ends],
            words=[end[2] for end in ends],
        )  # fmt: skip

    # -- up

    def learn(self, trials: list[Trial], chosen: list[Trial], fits: Any) -> None:
        """Put the rewards of what was refined back along the ways that led to it."""
        rewards = np.zeros(len(chosen)) if fits is None else self.judge(np.asarray(fits.fvu, np.float64))
        self.rewards.update(zip([trial.law for trial in chosen], rewards.tolist()))
        values = [trial.value for trial in chosen]
        self.leaning.learn([trial.tokens for trial in chosen], values, rewards.tolist())
        refined = {id(trial) for trial in chosen}
        for trial in trials:
            got = self.rewards.get(trial.law)
            if got is not None and not trial.credited:
                self.credit(trial, got)
                if id(trial) not in refined:
                    self.ended.append((int(self.tree.serial[trial.walk.leaf]), got, trial.tokens))

    def credit(self, trial: Trial, got: float) -> None:
        """A trial's reward to every node of its way, once."""
        if trial.credited:
            return
        trial.credited = True
        tree, nodes, slots = self.tree, trial.walk.nodes, trial.walk.slots
        weight = np.where(np.isnan(trial.values), 0.0, self.value_weight)
        if tree.kind[nodes[-1]] == WHOLE:
            weight[-1] = 0.0
        tree.visits[nodes] += 1
        tree.tried[nodes[:-1], slots] += 1
        worth = weight * np.nan_to_num(trial.values) + (1 - weight) * got
        self.least, self.greatest = min(self.least, worth.min(), got), max(self.greatest, worth.max(), got)
        tree.total[nodes] += worth
        if self.extremes is not None:
            self.extremes.enqueue(nodes, slots, trial.tokens, got)
        last = nodes[-1]
        tree.best[last] = max(tree.best[last], got)
        tree.solved[last] = tree.solved[last] or tree.kind[last] == WHOLE
        for above, node in zip(nodes[-2::-1], nodes[:0:-1]):
            tree.best[above] = max(tree.best[above], tree.best[node])
            if tree.solved[node] and not tree.solved[above] and tree.finished(above):
                tree.solved[above] = True

    def unfold(self, node: int, done: _Completions, row: int, at: int) -> None:
        """Give a new node its children, from what the policy said after so many tokens of a row."""
        tree = self.tree
        if tree.kind[node] != NEW:
            return
        tree.kind[node] = OPEN
        tree.tokens[node], tree.priors[node] = done.order[row, at], done.share[row, at]
        tree.width[node] = (done.order[row, at] != NONE).sum()
        tree.value[node] = done.value[row, at]

    def forget(self) -> None:
        """Keep the half of the tree that was visited most."""
        new = self.tree.keep(self.max_nodes // 2)
        self.root = max(0, int(new[self.root]))
        if self.extremes is not None:
            self.extremes.queues.renumber(new)
        self.places = {key: int(new[node]) for key, node in self.places.items() if new[node] != NONE}


def _keys(
    task: Task, canonical: Canonical | None
) -> tuple[Callable[[tuple[int, ...]], Hashable | None], Canonical]:
    """The key under which beginnings share a node, and that under which laws share a reward.

    None for a law that has no value anywhere, and for a beginning of no others.
    """
    exact = commuted(task.vocabulary)
    if canonical is None:
        return exact, exact
    if task.constraints.shaped or task.forced:
        dimensions = task.constraints.dimensions
        if dimensions is None:
            # what may follow depends on the spelling
            return exact, canonical
        return lambda prefix: exact(prefix) if dimensions.allows_beginning(prefix) else None, canonical
    size, arities, prices = task.vocabulary.size, task.vocabulary.arities, task.vocabulary.complexities

    def place(prefix: tuple[int, ...]) -> Hashable | None:
        # keys are dear, and two beginnings that say the same show it at the next leaf at the latest
        if arities[prefix[-1]]:
            return exact(prefix)
        missing = 1 + sum([arities[t] - 1 for t in prefix])
        key = canonical(prefix + tuple(range(size, size + missing)))
        # of equal length, so that no way leads in a circle, and of equal complexity and as many open places, even where
        # nothing comes of those, as in 0*(...), so that the same may follow
        return None if key is None else (len(prefix), sum([prices[t] for t in prefix]), missing, key)

    return place, canonical


def mcts(
    task: Task,
    simulations: int | None = None,
    batch: int = 32,
    exploration: float = 2.0,
    value_weight: float = 0.0,
    temperature: float = 0.0,
    max_length: int = 32,
    top: int = 32,
    canonical: Canonical | None = None,
    backup: str = "mix",
    use_value: bool = True,
    candidates: int = 3,
    tilt: float = 20.0,
    max_nodes: int = 100_000,
    tree: Tree | None = None,
    recipe: Recipe | None = None,
) -> Method:
    """Tree search over the beginnings of expressions, until the time, the simulations or the language is used up.

    simulations: most completions made by the policy, or None.
    batch: most laws refined in a round.
    exploration: weight of the policy against what was found.
    value_weight: weight of the learned value against the reward of the completion.
    temperature: of the completions; 0 takes the likeliest token always.
    max_length: most tokens in a law.
    top: children that a node lists at once.
    canonical: key of the beginnings (finished or not, as tokens) that count as one; by default operands commute.
    backup: a node is worth the "mean" of what was found below it, the "max", or a "mix" of both.
    use_value: whether to ask for the learned value at all.
    candidates: completions for every refinement where there is a learned value.
    tilt: logits that a token gains for each reward of one that it brings laws on this table; 0 leaves the policy as
        it is.
    max_nodes: when a tree has grown beyond this, half of it is forgotten.
    tree: filled while the search runs, for whoever wants to watch.
    recipe: for a search that goes after extremes by queues, an index and jumps, and asks for no value; `backup`,
        `exploration` and `value_weight` count with it only where its index is left out.

    Raises UsageError without a policy, or for a setting that makes no sense.
    """
    if task.next_token is None:
        raise UsageError("Tree search needs a network, and none came; load one, or choose another method.")
    if backup not in BACKUPS:
        close = did_you_mean(backup, BACKUPS)
        raise UsageError(f"There is no backup '{backup}'; choose one of {', '.join(BACKUPS)}.{close}")
    least = {"batch": 1, "candidates": 1, "max_length": 1, "top": 2, "max_nodes": 1000, "temperature": 0,
             "tilt": 0}  # fmt: skip
    came = {"batch": batch, "candidates": candidates, "max_length": max_length, "top": top,
            "max_nodes": max_nodes, "temperature": temperature, "tilt": tilt}  # fmt: skip
    for name, bound in least.items():
        if came[name] < bound:
            raise UsageError(f"The {name} of a tree search is {came[name]}; give at least {bound}.")
    if not 0 <= value_weight <= 1:
        raise UsageError(f"The value_weight of a tree search is {value_weight}; give a number from 0 to 1.")
    if not LegalMask(task.vocabulary, task.constraints, max_length, task.forced).start(1).mask().any():
        raise UsageError(f"No law of at most {max_length} tokens meets the constraints; allow more.")
    search = Search(
        task, Tree() if tree is None else tree, batch=batch, exploration=exploration, value_weight=value_weight,
        temperature=temperature, max_length=max_length, top=top, canonical=canonical, backup=backup,
        use_value=use_value, candidates=candidates, tilt=tilt, max_nodes=max_nodes, recipe=recipe,
    )  # fmt: skip
    return search.run(simulations)


def imcts(
    task: Task,
    index: bool = True,
    jumps: bool = True,
    chance: bool = True,
    recipe: Recipe | None = None,
    max_length: int = 32,
    canonical: Canonical | None = None,
    tree: Tree | None = None,
) -> Method:
    """Tree search after extremes, by chance where there is no network.

    index, jumps, chance: which parts of the recipe are used.
    recipe: settings of these parts; those of the paper, where none comes.
    max_length, canonical, tree: as of `mcts`.

    Raises UsageError for a setting that makes no sense.
    """
    used = Recipe() if recipe is None else recipe
    used = replace(used, index=used.index and index, jumps=used.jumps * jumps, chance=used.chance * chance)
    policy = Chance(task) if task.next_token is None else task.next_token
    return mcts(
        replace(task, next_token=policy), temperature=1.0, backup="max", tilt=0.0, max_length=max_length,
        canonical=canonical, tree=tree, recipe=used,
    )  # fmt: skip
