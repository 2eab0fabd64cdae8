"""What fine-tuning by reward brings in a field, and what it costs elsewhere.

For each field and seed: the network is tuned on tables of some of the field's laws, the adapter is chosen on tables of
others, and the network is asked before and after for tables of laws of the field that neither has seen, and for tables
of the general prior.  Every time it draws the same number of different laws; three quarters of a table's rows fit
their constants, the last quarter picks one of them, and the pick is judged on fresh points without noise.  The true
laws are known to the judge alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from nbsr import models
from nbsr.benchmark.domains import DOMAINS, Law, parts_of, points, table_of
from nbsr.benchmark.judge import threshold
from nbsr.config import load_config
from nbsr.evaluate import compile_programs, evaluate
from nbsr.expression import PAD, Constraints, Expression, Vocabulary
from nbsr.generate.base import Task
from nbsr.generate.sample import sample
from nbsr.model import Model, Policy, encode_table
from nbsr.prior import SkeletonPool
from nbsr.refine import refine
from nbsr.reinforcement import Tuning, finetune
from nbsr.score import fvu
from nbsr.threads import torch_alone

__all__ = ["Case", "Shares", "found", "general_cases", "held_out_cases", "run"]

ROWS = 100
NOISES = (0.0, 0.01)
_FRESH = 500
_LEARNING, _CHOOSING, _ASKED = 0, 1_000, 2_000  # seeds of tables, by what these are for


@dataclass(frozen=True)
class Case:
    """A table to find the law of, and fresh points without noise by which the answer is judged."""

    X: Float[np.ndarray, "rows columns"]
    y: Float[np.ndarray, " rows"]
    fresh_X: Float[np.ndarray, "points columns"]
    fresh_y: Float[np.ndarray, " points"]
    noise: float


@dataclass(frozen=True)
class Shares:
    """Shares of laws found: of a field's held-out laws by noise, and of the general prior."""

    held_out: tuple[float, ...]
    general: float


def run(
    seeds: Sequence[int] = (0, 1, 2),
    domains: Sequence[str] = DOMAINS,
    choices: int = 64,
    general: int = 100,
    model: str = "base",
    tuning: Tuning | None = None,
    report: Callable[[str], None] = print,
) -> list[str]:
    """Tune and measure, reporting a line a run, and answer the lines of the table that ends the report.

    Arguments:
        seeds: of tables and tuning, a run of each field for each.
        choices: different laws that the network draws for each table.
        general: tables of the general prior.
    """
    network, tuning = models.load(model), tuning or Tuning()
    elsewhere = general_cases(network, general)
    ahead = found(network, elsewhere, choices)
    report(f"{general} tables of the general prior, {choices} laws each: {ahead:.1%} before")
    table = [
        f"{'':<16}{'':>7}" + "".join(f"{f'noise {noise:.0%}':>18}" for noise in NOISES) + f"{'general':>18}"
    ]
    for domain in domains:
        pairs = []
        for seed in seeds:
            before, after, said = _one(network, model, domain, seed, choices, elsewhere, ahead, tuning)
            pairs.append((before, after))
            report(f"{domain}, seed {seed}: {said}; {_told(before)} -> {_told(after)}")
        laws = len(parts_of(domain)[2])
        for when, shares in zip(("before", "after"), zip(*pairs)):
            means = np.mean([[*one.held_out, one.general] for one in shares], axis=0)
            table.append(f"{domain:<16}{when:>7}" + "".join(f"{mean:>18.1%}" for mean in means))
        report(f"{domain}: {laws} held-out laws, {len(seeds)} seeds")
    for line in table:
        report(line)
    return table


def _told(shares: Shares) -> str:
    parts = [f"{share:.0%} at noise {noise:.0%}" for share, noise in zip(shares.held_out, NOISES)]
    return f"{', '.join(parts)}, {shares.general:.1%} general"


def _one(
    network: Model,
    name: str,
    domain: str,
    seed: int,
    choices: int,
    elsewhere: list[Case],
    ahead: float,
    tuning: Tuning,
) -> tuple[Shares, Shares, str]:
    """Before and after, in one field with one seed; and what the tuning says of itself."""
    learned, choosing, _ = parts_of(domain)
    asked = [held_out_cases(domain, seed, noise) for noise in NOISES]
    # every second table to learn from has noise, as those that will be asked about do
    tables = [table_of(law, _LEARNING + seed, ROWS, NOISES[k % 2])[0] for k, law in enumerate(learned)]
    validation = [table_of(law, _CHOOSING + seed, ROWS, NOISES[k % 2])[0] for k, law in enumerate(choosing)]
    before = Shares(tuple(found(network, cases, choices) for cases in asked), ahead)
    tuned = finetune(name, tables, validation=validation, tuning=tuning, seed=seed, callback=lambda row: None)
    changed = tuned.model
    after = Shares(
        tuple(found(changed, cases, choices) for cases in asked), found(changed, elsewhere, choices)
    )
    return before, after, repr(tuned)


def held_out_cases(domain: str, seed: int, noise: float) -> list[Case]:
    """A table of each law of a field that is held out."""
    return [_case_of(law, _ASKED + seed, noise) for law in parts_of(domain)[2]]


def _case_of(law: Law, seed: int, noise: float) -> Case:
    table, truth = table_of(law, seed, ROWS, noise)
    return Case(table.X, table.y, *points(law, truth, np.random.default_rng([seed, 1]), _FRESH), noise)


def general_cases(network: Model, count: int) -> list[Case]:
    """Tables of laws from the prior that the network that comes with nbsr was trained on, which it has not seen."""
    config = replace(
        load_config("base").prior, points={"low": 2 * ROWS, "high": 2 * ROWS, "spread": "uniform"}
    )
    config = replace(config, noise=0.0)
    instances = SkeletonPool(config, network.vocabulary, None, 0).validation(count)
    cases = []
    for k in range(count):
        columns = instances.columns[k]
        X, y = instances.inputs[k][:, columns].astype(float), instances.response[k].astype(float)
        cases.append(Case(X[:ROWS], y[:ROWS], X[ROWS:], y[ROWS:], 0.0))
    return cases


def found(network: Model, cases: Sequence[Case], choices: int) -> float:
    """The share of tables whose law the network recovers."""
    with torch_alone():
        return float(np.mean([_recovers(network, case, choices) for case in cases]))


def _recovers(network: Model, case: Case, choices: int) -> bool:
    vocabulary = Vocabulary(tuple(f"x{i + 1}" for i in range(case.X.shape[1])), network.config.operators)
    policy = Policy(network, encode_table(network, case.X, case.y), vocabulary)
    constraints = Constraints.build(vocabulary, network.config.operators)
    task = Task(case.X, case.y, None, vocabulary, constraints, left=lambda: np.inf, next_token=policy)
    fit = np.arange(len(case.y)) % 4 > 0
    best, law = np.inf, None
    for batch in sample(task, choices, choices, max_length=network.config.max_length):
        fits = refine(batch.tokens, (case.X[fit], case.y[fit], None), vocabulary, restarts=8, max_steps=50)
        programs = compile_programs(batch.tokens, vocabulary)
        with np.errstate(all="ignore"):
            values = evaluate(programs, np.nan_to_num(fits.constants), case.X[~fit])
            errors = np.square(values - case.y[~fit]).mean(axis=1)
        errors = np.where(np.isfinite(errors) & np.isfinite(fits.fvu), errors, np.inf)
        k = int(errors.argmin())
        if errors[k] < best:
            tokens = tuple(int(token) for token in batch.tokens[k] if token != PAD)
            best, law = errors[k], Expression(tokens, _known(fits.constants[k]), vocabulary)
    if law is None:
        return False
    with np.errstate(all="ignore"):
        error = float(np.nan_to_num(fvu(case.fresh_y, law.predict(case.fresh_X)), nan=np.inf))
    return error <= threshold(case.noise, len(case.y))


def _known(constants: Float[np.ndarray, " c"]) -> tuple[float, ...]:
    return tuple(float(value) for value in constants if not np.isnan(value))
