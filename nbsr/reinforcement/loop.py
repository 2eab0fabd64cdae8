"""The run: draw, refine, reward, step; measure what is held apart now and then, and keep the best adapter.

Left out on purpose: a learned baseline (the group's other laws are one), the encoder (it reads numbers, and a field's
are like any other's), the value head (it goes on judging prefixes as it did; retrain it with `nbsr train --value`).
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.func import functional_call

from nbsr import devices, models
from nbsr.adapter import Adapter
from nbsr.errors import UsageError
from nbsr.expression import CONST, PAD, Expression, Vocabulary
from nbsr.model import Model
from nbsr.refine import warm
from nbsr.reinforcement.contexts import Context, Source, bootstrap, prepared, sources
from nbsr.reinforcement.objective import Terms, Tuning, advantages, objective
from nbsr.reinforcement.report import FineTuning, Picture, Row, Said
from nbsr.reinforcement.reward import Reward, errors_of, log_linear, rewards_of
from nbsr.rollout import Rollouts, draw, legal_tokens, named
from nbsr.table import Table
from nbsr.threads import torch_alone

__all__ = ["finetune"]

_NOTHING = 1e-5  # an advantage that is rounding alone
_TOLD = 3  # likeliest laws that are told of each table
_APART, _BOOTSTRAP, _ADAPTER, _DRAWS, _JUDGED = range(5)  # what a stream of random numbers is for


def finetune(
    model: str | Path | Model,
    tables: Table | Sequence[Table],
    *,
    validation: Sequence[Table] | None = None,
    tuning: Tuning | None = None,
    seconds: float | None = None,
    out: str | Path | None = None,
    device: str = "cpu",
    seed: int = 0,
    reward: Reward | None = None,
    callback: Callable[[Row], None] | None = None,
) -> FineTuning:
    """Teach a network the laws of a field by the reward of what it writes for the field's tables.

    An interrupt ends the run and keeps the best adapter so far.  The same arguments give the same adapter, but where
    the seconds cut the run short.

    Arguments:
        model: the network, by name or directory, perhaps with an adapter already (`base+DIR`).
        tables: to learn from, of at least 8 rows each; a quarter of the rows of each is put apart.
        validation: tables by which the adapter is chosen; None: the rows put apart of `tables`.
        tuning: how; None: as `Tuning` has it.
        seconds: end after so many.
        out: directory in which the best adapter so far is kept, replaced as a whole each time.
        device: "cpu", "cuda", ...
        seed: of everything that is drawn.
        reward: errors `[K]` (squared error on unseen rows over the target's variance, inf where invalid) to rewards;
            None: `log_linear()`.
        callback: is given each row of the log; None: print, or plot in a notebook.

    Raises:
        UsageError: a table, the network, the device or the directory cannot be used, or a reward is not a number.
    """
    tuning = tuning or Tuning()
    if seconds is not None and not seconds > 0:
        raise UsageError(f"'seconds' is {seconds}; give a positive number.")
    if isinstance(model, Model):
        name, network = "the network", copy.deepcopy(model).to(devices.device_of(device)).eval()
    else:
        name, network = str(model), models.load(model, device)
    given = [tables] if isinstance(tables, Table) else list(tables)
    apart = np.random.default_rng([seed, _APART])
    learned = sources(given, network, apart)
    judging = learned if validation is None else sources(validation, network, apart)
    if out is not None and Path(out).is_dir():
        _refuse_foreign(Path(out))
    picture = Picture() if callback is None else None
    warm(background=False)  # thousands of refinements wait for the compiled kernels
    try:
        with torch_alone():
            run = _Run(network, learned, judging, tuning, seed, reward or log_linear())
            return _go(run, name, seconds, None if out is None else Path(out), callback or picture)
    finally:
        if picture is not None:
            picture.end()


def _refuse_foreign(out: Path) -> None:
    if any(out.iterdir()) and not (out / models.ADAPTER).is_file():
        raise UsageError(f"'{out}' holds something else than an adapter; give a directory of its own.")


def _go(
    run: "_Run", name: str, seconds: float | None, out: Path | None, tell: Callable[[Row], None] | None
) -> FineTuning:
    """All steps, until one of the ends."""
    begun, log, ended = time.monotonic(), [], "steps"
    before = best = run.measure()
    kept, best_step = run.adapter.copy(), 0

    def tuned() -> FineTuning:
        spent = time.monotonic() - begun
        return FineTuning(
            name, run.base, kept, tuple(log), before.said, best.said, best_step, spent, ended, out
        )

    try:
        if out is not None:
            tuned().save(out)
        for step in range(1, run.tuning.steps + 1):
            row = run.step(step)
            late = seconds is not None and time.monotonic() - begun >= seconds
            if step % run.tuning.validate_every == 0 or step == run.tuning.steps or late:
                found = run.measure()
                row["validation"] = found.score
                if found.score > best.score:
                    best, kept, best_step = found, run.adapter.copy(), step
                    if out is not None:
                        tuned().save(out)
            row["seconds"] = time.monotonic() - begun
            log.append(row)
            if tell is not None:
                tell(row)
            if late:
                ended = "seconds"
                break
    except KeyboardInterrupt:
        ended = "interrupt"
    return tuned()


@dataclass(frozen=True)
class _Measured:
    """The tables that judge, as the network sees them now; score: mean reward of the best share of their laws."""

    score: float
    said: tuple[Said, ...]


@dataclass(frozen=True)
class _Drawn:
    """Laws that were drawn for contexts, and what they were drawn from.

    memory: `[B, S, d]`; columns: `[B, places]` which hold a column; order: `[B, places]` which column that is.
    """

    memory: Float[Tensor, "b s d"]
    columns: Bool[Tensor, "b places"]
    order: Int[Tensor, "b places"]
    laws: Rollouts


class _Run:
    """The network, its adapter, and the numbers that a step needs.

    base: never changes; acting: the same with the adapter added, which draws.
    """

    def __init__(
        self,
        base: Model,
        learned: list[Source],
        judging: list[Source],
        tuning: Tuning,
        seed: int,
        reward: Reward,
    ):
        self.base, self.acting = base.requires_grad_(False), copy.deepcopy(base)
        self.learned, self.tuning, self.seed, self.reward = learned, tuning, seed, reward
        self.judging = [Context(source, source.learned, source.apart) for source in judging]
        self.adapter = Adapter.fresh(base, tuning.rank, torch.Generator().manual_seed(_seed(seed, _ADAPTER)))
        for part in self.adapter.parameters:
            part.requires_grad_(True)
        self.optimizer = torch.optim.AdamW(
            self.adapter.parameters, lr=tuning.learning_rate, betas=(0.9, 0.95), weight_decay=0.0
        )

    # -- drawing and judging

    def drawn(self, contexts: list[Context], samples: int, *purpose: int) -> "_Drawn":
        """Laws for each context, by the network with its adapter."""
        read = prepared(contexts, self.base)
        generator = torch.Generator(self.base.device).manual_seed(_seed(self.seed, *purpose))
        told = torch.zeros(len(contexts), dtype=torch.int64, device=self.base.device)
        with torch.no_grad():
            memory = self.base.encode(read)
            laws = draw(self.acting, read, told, samples, generator, memory=memory)
        return _Drawn(memory, read.columns, read.order, laws)

    def step(self, number: int) -> Row:
        """Draw laws, learn from them, and say how they did."""
        tuning = self.tuning
        rng = np.random.default_rng([self.seed, _BOOTSTRAP, number])
        chosen = np.resize(rng.permutation(len(self.learned)), tuning.contexts)
        contexts = [bootstrap(self.learned[k], tuning.rows, rng) for k in chosen]
        drawn = self.drawn(contexts, tuning.samples, _DRAWS, number)
        rewards, valid = self.rewarded(contexts, drawn)
        gains = advantages(torch.from_numpy(rewards), tuning.share).to(self.base.device)
        row: Row = {"step": float(number), "seconds": 0.0, "reward": float(rewards.mean())}
        row |= {"top": _top(rewards, tuning.share), "valid": float(valid.mean()), "validation": math.nan}
        row |= {"kl": 0.0, "entropy": 0.0, "loss": 0.0}
        terms = self.learn(drawn, gains.float(), number)
        if terms is not None:
            row |= {name: float(getattr(terms, name).detach()) for name in ("kl", "entropy", "loss")}
        return row

    def rewarded(
        self, contexts: list[Context], drawn: "_Drawn"
    ) -> tuple[Float[np.ndarray, "b samples"], Bool[np.ndarray, "b samples"]]:
        """Rewards of the laws drawn for each context, and which are finite on its rows."""
        laws_of = named(drawn.laws.tokens, drawn.order, self.base.vocabulary.first_variable)
        rewards, valid = np.zeros(laws_of.shape[:2]), np.zeros(laws_of.shape[:2], bool)
        for k, context in enumerate(contexts):
            different, where = np.unique(laws_of[k], axis=0, return_inverse=True)
            _, errors = errors_of(different, context, self.vocabulary(context))
            rewards[k] = rewards_of(errors, self.reward)[where.ravel()]
            valid[k] = np.isfinite(errors)[where.ravel()]
        return rewards, valid

    def vocabulary(self, context: Context) -> Vocabulary:
        return Vocabulary(context.source.names, self.base.config.operators)

    # -- learning

    def learn(self, drawn: "_Drawn", gains: Float[Tensor, "b samples"], number: int) -> Terms | None:
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
        legal = legal_tokens(self.base, drawn.columns[table[rows]], tokens)
        with torch.no_grad():
            reference = self.likelihood({}, seen, tokens, legal)
        for group in self.optimizer.param_groups:
            group["lr"] = tuning.learning_rate * (1 - 0.9 * (number - 1) / tuning.steps)
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
        told = torch.zeros(len(tokens), dtype=torch.int64, device=tokens.device)
        logits, _ = functional_call(self.base, weights, (memory, tokens[:, :-1], told))
        return logits.float().masked_fill(~legal, -torch.inf).log_softmax(-1)

    # -- measuring

    def measure(self) -> _Measured:
        """What the network says now of the tables that judge; the same random numbers each time."""
        drawn = self.drawn(self.judging, self.tuning.judged, _JUDGED)
        laws_of = named(drawn.laws.tokens, drawn.order, self.base.vocabulary.first_variable)
        likely = drawn.laws.log_prob.sum(2).cpu().numpy()
        said, tops = [], []
        for k, context in enumerate(self.judging):
            different, first, where = np.unique(laws_of[k], axis=0, return_index=True, return_inverse=True)
            vocabulary = self.vocabulary(context)
            fits, errors = errors_of(different, context, vocabulary)
            rewards = rewards_of(errors, self.reward)
            told = []
            for law in np.argsort(-likely[k][first], kind="stable")[:_TOLD]:
                text = _text(different[law], fits.constants[law], vocabulary)
                told.append((text, float(np.exp(likely[k][first[law]])), float(rewards[law])))
            each = rewards[where.ravel()]
            valid = float(np.isfinite(errors)[where.ravel()].mean())
            tops.append(_top(each[None], self.tuning.share))
            said.append(Said(context.source.name, valid, float(each.mean()), float(each.max()), tuple(told)))
        return _Measured(float(np.mean(tops)), tuple(said))


def _top(rewards: Float[np.ndarray, "b samples"], share: float) -> float:
    """Mean reward of the best share of each group."""
    taken = max(1, round(share * rewards.shape[1]))
    return float(np.sort(rewards, axis=1)[:, -taken:].mean())


def _text(law: Int[np.ndarray, " l"], constants: Float[np.ndarray, " c"], vocabulary: Vocabulary) -> str:
    tokens = [int(token) for token in law if token != PAD]
    fitted = [float(f"{value:.3g}") for value in constants[: tokens.count(CONST)]]
    return str(Expression(tuple(tokens), tuple(fitted), vocabulary))


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
