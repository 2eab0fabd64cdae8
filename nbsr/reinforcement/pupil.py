"""A network that learns by reward: it draws laws for subsets of rows, is told what they are worth, and takes a step.

    pupil = Pupil(network, sources, sources, tuning, seed, log_linear())
    pupil.examine()                          # what it says of the rows put apart, before
    pupil.lesson(share)                      # draw, refine, reward, step
    pupil.examine(); pupil.best, pupil.kept  # and which adapter did best there

Left out on purpose: a learned baseline (the group's other laws are one), the encoder (it reads numbers, and a field's
are like any other's), the value head (it goes on judging prefixes as it did; retrain it with `nbsr train --value`).
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.func import functional_call

from nbsr.adapter import Adapter
from nbsr.expression import CONST, PAD, Expression, Vocabulary
from nbsr.model import Model
from nbsr.reinforcement.contexts import Context, Source, bootstrap, prepared
from nbsr.reinforcement.objective import Terms, Tuning, advantages, objective
from nbsr.reinforcement.report import Row, Said
from nbsr.reinforcement.reward import Reward, errors_of, rewards_of
from nbsr.rollout import Rollouts, draw, legal_tokens, named
from nbsr.trace import Likely

__all__ = ["APART", "Examined", "Lesson", "Pupil", "Rules"]

_NOTHING = 1e-5  # an advantage that is rounding alone
_TOLD = 3  # likeliest laws that are told of each table
APART, _BOOTSTRAP, _ADAPTER, _DRAWS, _JUDGED = range(5)  # what a stream of random numbers is for


@dataclass(frozen=True)
class Rules:
    """What a law may hold, where not everything.

    Attributes:
        operators: `[V]` which tokens of the network beside the columns.
        columns: `[D]` which columns of the tables.
        allows: laws `[K, L]` of a table's own columns to `[K]`; one that is not allowed is worth nothing.
    """

    operators: Bool[Tensor, " v"]
    columns: Bool[Tensor, " d"]
    allows: Callable[[Int[np.ndarray, "k l"]], Bool[np.ndarray, " k"]]


@dataclass(frozen=True)
class Examined:
    """What the network says of the tables that judge.

    score: mean reward of the best share of the laws for each table.
    said: by table; likely: by table, the likeliest laws that are finite.
    """

    score: float
    said: tuple[Said, ...]
    likely: tuple[tuple[Likely, ...], ...]


@dataclass(frozen=True)
class _Drawn:
    """Laws that were drawn for contexts, and what they were drawn from.

    memory: `[B, S, d]`; columns: `[B, places]` which hold a column; order: `[B, places]` which column that is.
    """

    memory: Float[Tensor, "b s d"]
    columns: Bool[Tensor, "b places"]
    order: Int[Tensor, "b places"]
    laws: Rollouts


class Pupil:
    """The network, its adapter, and the numbers that a step needs.

    Arguments:
        base: the network, which stays as it is.
        learned: tables to learn from; judging: those whose rows put apart judge.
        complexity: of the laws that are asked for, or 0.

    Attributes:
        acting: the network with the adapter added, which draws.
        lessons: how many there were.
        best: the best that was found by `examine`; kept: the adapter of then; best_lesson: after how many lessons.
        rules: what a law may hold; may be changed between lessons.
    """

    def __init__(
        self,
        base: Model,
        learned: Sequence[Source],
        judging: Sequence[Source],
        tuning: Tuning,
        seed: int,
        reward: Reward,
        complexity: int = 0,
        rules: Rules | None = None,
    ):
        self.base, self.acting = base.requires_grad_(False), copy.deepcopy(base)
        self.learned, self.tuning, self.seed, self.reward = learned, tuning, seed, reward
        self.complexity, self.rules = complexity, rules
        self.lessons = self.best_lesson = 0
        self.best: Examined | None = None
        self.judging = [Context(source, source.learned, source.apart) for source in judging]
        self.adapter = Adapter.fresh(base, tuning.rank, torch.Generator().manual_seed(_seed(seed, _ADAPTER)))
        for part in self.adapter.parameters:
            part.requires_grad_(True)
        self.optimizer = torch.optim.AdamW(
            self.adapter.parameters, lr=tuning.learning_rate, betas=(0.9, 0.95), weight_decay=0.0
        )
        self.kept = self.adapter.copy()

    # -- drawing and judging

    def drawn(self, contexts: list[Context], samples: int, *purpose: int) -> "_Drawn":
        """Laws for each context, by the network with its adapter."""
        read, rules = prepared(contexts, self.base), self.rules
        columns = read.columns
        if rules is not None:
            places = torch.zeros(columns.shape[1], dtype=torch.bool)
            places[: len(rules.columns)] = rules.columns
            columns = columns & places.to(columns.device)[read.order]
        generator = torch.Generator(self.base.device).manual_seed(_seed(self.seed, *purpose))
        with torch.no_grad():
            memory = self.base.encode(read)
            laws = draw(
                self.acting, read, self.told(len(contexts)), samples, generator, memory=memory, columns=columns,
                operators=self.operators,
            )  # fmt: skip
        return _Drawn(memory, columns, read.order, laws)

    @property
    def operators(self) -> Bool[Tensor, " v"] | None:
        return None if self.rules is None else self.rules.operators

    def told(self, count: int) -> Int[Tensor, " b"]:
        """The complexity that is asked for, for so many laws or tables."""
        return torch.full((count,), self.complexity, dtype=torch.int64, device=self.base.device)

    def lesson(self, share: float) -> "Lesson":
        """Draw laws, learn from them, and say how they did.

        Arguments:
            share: of all lessons that are behind, by which the steps become smaller.
        """
        tuning = self.tuning
        self.lessons += 1
        rng = np.random.default_rng([self.seed, _BOOTSTRAP, self.lessons])
        chosen = np.resize(rng.permutation(len(self.learned)), tuning.contexts)
        contexts = [bootstrap(self.learned[k], tuning.rows, rng) for k in chosen.tolist()]
        drawn = self.drawn(contexts, tuning.samples, _DRAWS, self.lessons)
        laws = named(drawn.laws.tokens, drawn.order, self.base.vocabulary.first_variable)
        rewards, valid = self.rewarded(contexts, laws)
        gains = advantages(torch.from_numpy(rewards), tuning.share).to(self.base.device)
        row: Row = {"step": float(self.lessons), "seconds": 0.0, "reward": float(rewards.mean())}
        row |= {"top": _top(rewards, tuning.share), "valid": float(valid.mean()), "validation": math.nan}
        row |= dict.fromkeys(("kl", "entropy", "loss"), math.nan)  # where all did alike, nothing is learned
        terms = self.learn(drawn, gains.float(), share)
        if terms is not None:
            row |= {name: float(getattr(terms, name).detach()) for name in ("kl", "entropy", "loss")}
        return Lesson(row, laws)

    def rewarded(
        self, contexts: list[Context], laws: Int[np.ndarray, "b samples l"]
    ) -> tuple[Float[np.ndarray, "b samples"], Bool[np.ndarray, "b samples"]]:
        """Rewards of the laws drawn for each context, and which are allowed and finite on its rows."""
        rewards, valid = np.zeros(laws.shape[:2]), np.zeros(laws.shape[:2], bool)
        for k, context in enumerate(contexts):
            different, where = np.unique(laws[k], axis=0, return_inverse=True)
            _, errors = self.errors(different, context)
            rewards[k] = rewards_of(errors, self.reward)[where.ravel()]
            valid[k] = np.isfinite(errors)[where.ravel()]
        return rewards, valid

    def errors(
        self, laws: Int[np.ndarray, "k l"], context: Context
    ) -> tuple[Float[np.ndarray, "k c"], Float[np.ndarray, " k"]]:
        """Fitted constants, and errors on the rows that did not fit; inf for a law that is not allowed."""
        fits, errors = errors_of(laws, context, self.vocabulary(context))
        if self.rules is not None:
            errors = np.where(self.rules.allows(laws), errors, np.inf)
        return fits.constants, errors

    def vocabulary(self, context: Context) -> Vocabulary:
        return Vocabulary(context.source.names, self.base.config.operators)

    # -- learning

    def learn(self, drawn: "_Drawn", gains: Float[Tensor, "b samples"], share: float) -> Terms | None:
        """Step on the laws that have an advantage, each different one once; None where none has."""
        tuning, laws = self.tuning, drawn.laws
        table = torch.arange(len(gains), device=gains.device).repeat_interleave(gains.shape[1])
        flat, gain, said = laws.tokens.flatten(0, 1), gains.flatten(), laws.log_prob.flatten(0, 1)
        whole = torch.cat([table[:, None], flat], dim=1)
        _, where, counts = torch.unique(whole, dim=0, return_inverse=True, return_counts=True)
        first = torch.full_like(counts, len(where)).scatter_reduce(
            0, where, torch.arange(len(where), device=where.device), "amin"
        )
        taken = gain[first].abs() > _NOTHING
        rows, counts = first[taken], counts[taken].float()
        if not len(rows):
            return None
        length = max(1, int((flat[rows] != PAD).sum(1).max()))
        tokens, seen = flat[rows][:, :length], drawn.memory[table[rows]]
        legal = legal_tokens(self.base, drawn.columns[table[rows]], tokens, self.operators)
        with torch.no_grad():
            reference = self.likelihood({}, seen, tokens, legal)
        for group in self.optimizer.param_groups:
            group["lr"] = tuning.learning_rate * (1 - 0.9 * min(share, 1.0))
        terms = None
        for _ in range(tuning.updates):
            new = self.likelihood(self.adapter.weights(self.base), seen, tokens, legal)
            found = objective(new, reference, said[rows][:, :length], tokens, gain[rows], counts, tuning)
            terms = terms or found
            self.optimizer.zero_grad()
            found.loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(self.adapter.parameters, tuning.gradient)
            if torch.isfinite(norm):
                self.optimizer.step()
        self.adapter.write_into(self.acting, self.base)
        return terms

    def likelihood(
        self,
        weights: dict[str, Tensor],
        memory: Float[Tensor, "r s d"],
        tokens: Int[Tensor, "r l"],
        legal: Bool[Tensor, "r l v"],
    ) -> Float[Tensor, "r l v"]:
        """Log-probabilities of the legal tokens before each token, with some of the network's weights replaced."""
        asked = (memory, tokens[:, :-1], self.told(len(tokens)))
        logits, _ = functional_call(self.base, weights, asked)
        return logits.float().masked_fill(~legal, -torch.inf).log_softmax(-1)

    # -- measuring

    def examine(self) -> Examined:
        """What the network says now of the tables that judge; its adapter is kept where it did best so far."""
        found = self._examined()
        if self.best is None or found.score > self.best.score:
            self.best, self.kept, self.best_lesson = found, self.adapter.copy(), self.lessons
        return found

    def _examined(self) -> Examined:
        """The same random numbers each time."""
        drawn = self.drawn(self.judging, self.tuning.judged, _JUDGED)
        laws_of = named(drawn.laws.tokens, drawn.order, self.base.vocabulary.first_variable)
        probability = drawn.laws.log_prob.sum(2).exp().cpu().numpy()
        said, tops, likely = [], [], []
        for k, context in enumerate(self.judging):
            different, first, where = np.unique(laws_of[k], axis=0, return_index=True, return_inverse=True)
            constants, errors = self.errors(different, context)
            rewards = rewards_of(errors, self.reward)
            order = np.argsort(-probability[k][first], kind="stable")
            laws = [
                _likely(
                    different[law], constants[law], float(probability[k][first[law]]), float(rewards[law])
                )
                for law in order
            ]
            vocabulary = self.vocabulary(context)
            told = tuple((_text(law, vocabulary), law.probability, law.reward) for law in laws[:_TOLD])
            each = rewards[where.ravel()]
            valid = float(np.isfinite(errors)[where.ravel()].mean())
            tops.append(_top(each[None], self.tuning.share))
            said.append(Said(context.source.name, valid, float(each.mean()), float(each.max()), told))
            finite = np.isfinite(errors)[order]
            likely.append(tuple(law for law, there in zip(laws, finite) if there)[:_TOLD])
        return Examined(float(np.mean(tops)), tuple(said), tuple(likely))


@dataclass(frozen=True)
class Lesson:
    """How a lesson went, and the laws that were drawn in it, of the tables' own columns."""

    row: Row
    laws: Int[np.ndarray, "b samples l"]


def _top(rewards: Float[np.ndarray, "b samples"], share: float) -> float:
    """Mean reward of the best share of each group."""
    taken = max(1, round(share * rewards.shape[1]))
    return float(np.sort(rewards, axis=1)[:, -taken:].mean())


def _likely(
    law: Int[np.ndarray, " l"], constants: Float[np.ndarray, " c"], probability: float, reward: float
) -> Likely:
    tokens = tuple(int(token) for token in law if token != PAD)
    return Likely(tokens, tuple(constants[: tokens.count(CONST)].tolist()), float(probability), float(reward))


def _text(law: Likely, vocabulary: Vocabulary) -> str:
    fitted = tuple(float(f"{value:.3g}") for value in law.constants)
    return str(Expression(law.tokens, fitted, vocabulary))


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
