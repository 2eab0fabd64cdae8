"""How fast the network writes laws, and what passes from a table to fitted candidates.

The weights are random unless a network is named: what a token costs does not depend on what was learned, while the
laws that are refined do.  Every figure is the best of several repetitions, taken in turns with those beside it, so
that whatever else the machine does hits all of them.

Beside it in the same run, where it is installed: the model of flash-ansr 0.4.3 in its published shape of 3 million
parameters, with random weights, too.
"""

import importlib
import itertools
import math
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from nbsr import models
from nbsr.benchmark.evaluator import in_turns
from nbsr.config import load_config
from nbsr.expression import PAD, Constraints, Vocabulary, is_complete
from nbsr.generate.base import NextToken, Task
from nbsr.generate.decode import Decoder
from nbsr.generate.sample import distinct_draws, independent_draws, sample
from nbsr.model import OPERATORS_KNOWN, Model, Policy, encode_table
from nbsr.refine import Problem, refine, warm
from nbsr.table import Table
from nbsr.threads import cores

ROWS = 512
_NAMES = ("x1", "x2", "x3", "x4", "x5")
_WISHES: dict[str, Any] = {"max_complexity": 12, "forbid": ("sin(exp(?))", "x2"), "require": ("x1",)}


def run(
    sequences: int = 128,
    tokens: int = 32,
    seconds: float = 60.0,
    choices: int = 1024,
    model: Model | str | None = None,
) -> list[str]:
    """Measure for about so many seconds, print the report and return its lines.

    Arguments:
        sequences: laws that are written at once.
        tokens: of each law, where the network writes without a mask.
        choices: laws that are proposed and refined.
        model: a network, its name or directory; None: one of the shipped size with random weights.
    """
    warm(background=False)
    torch.manual_seed(0)
    if isinstance(model, str):
        model = models.load(model)
    network = model or Model(load_config("base").model)
    origin = "random weights" if model is None else "the network that was given"
    lines = []
    head = (
        f"decode: {network.parameter_count() / 1e6:.2f} million parameters, {origin}, {cores()} cores, "
        f"{torch.get_num_threads()} threads of torch"
    )
    for line in itertools.chain(
        [head],
        _decoding(network.eval(), sequences, tokens, seconds / 2),
        _proposing(network.eval(), choices, seconds / 2),
    ):
        print(line, flush=True)
        lines.append(line)
    return lines


def _table() -> tuple[np.ndarray, np.ndarray]:
    """Rows `[ROWS, 5]` and a target of three of the columns, with noise, so that no law fits exactly."""
    rng = np.random.default_rng(0)
    X = rng.uniform(1, 5, (ROWS, len(_NAMES)))
    y = 2.5 * X[:, 0] * np.exp(-X[:, 1] / 3) + np.sqrt(X[:, 2])
    return X, y + 0.01 * np.std(y) * rng.standard_normal(ROWS)


def _task(network: Model, X: np.ndarray, y: np.ndarray, **wishes: Any) -> Task:
    """What a method is told, with the network's word on the table."""
    vocabulary = Vocabulary(_NAMES)
    policy = Policy(network, encode_table(network, X, y), vocabulary)
    constraints = Constraints.build(vocabulary, OPERATORS_KNOWN, **wishes)
    return Task(X, y, None, vocabulary, constraints, left=lambda: math.inf, next_token=policy)


# -- tokens a second ----------------------------------------------------------------------------------------------


def _decoding(network: Model, sequences: int, tokens: int, seconds: float) -> Iterator[str]:
    X, y = _table()
    task, longest = _task(network, X, y), network.config.max_length
    policy = task.next_token
    assert policy is not None
    alone = sequences * tokens
    jobs: dict[str, Callable[[], object]] = {
        "kept": lambda: _write(policy, sequences, tokens),
        "anew": lambda: _write_anew(policy, sequences, tokens),
        "repeats": lambda: _drawn(task, sequences, longest, repeats=True),
        "once": lambda: _drawn(task, sequences, longest, repeats=False),
    }
    peer = _flash_ansr(X, y, sequences, tokens)
    if peer is not None:
        jobs["peer"] = peer.decode
    best = dict(zip(jobs, in_turns(seconds, *jobs.values())))
    yield f"{sequences} laws at once, the network alone, {tokens} tokens each"
    yield f"  keys and values kept         {alone / best['kept']:9.0f} tokens/s"
    yield (
        f"  the prefix read anew         {alone / best['anew']:9.0f} tokens/s, "
        f"ratio {best['anew'] / best['kept']:.1f}"
    )
    yield f"{sequences} laws at once, drawn under the mask of legal tokens, until they are complete"
    speeds = {}
    for name, title in (("repeats", "each for itself"), ("once", "no law twice")):
        count = int((_drawn(task, sequences, longest, repeats=name == "repeats") != PAD).sum())
        speeds[name] = count / best[name]
        yield f"  {title:<28} {speeds[name]:9.0f} tokens/s, {count / sequences:.1f} tokens a law"
    if peer is None:
        yield "  flash-ansr is not installed; the README says how to compare with it"
    else:
        theirs, title = alone / best["peer"], f"flash-ansr {peer.version}, no mask"
        yield f"  {title:<28} {theirs:9.0f} tokens/s, {peer.parameters / 1e6:.2f} million parameters, random weights"
        yield (
            f"  ratio to flash-ansr          {speeds['repeats'] / theirs:9.1f} drawn each for itself, "
            f"{alone / best['kept'] / theirs:.1f} the network alone"
        )
    wished = _task(network, X, y, **_WISHES)
    legal = total = 0
    for asked in (task, wished):
        for repeats in (True, False):
            laws = _drawn(asked, sequences, longest, repeats)
            legal += sum(_is_legal(row, asked.constraints) for row in laws.tolist())
            total += len(laws)
    yield (
        f"  legal and complete: {legal} of {total} ({100 * legal / total:.2f} %), half of them drawn without "
        f"{' and '.join(_WISHES['forbid'])}, with {_WISHES['require'][0]}, up to {_WISHES['max_complexity']} nodes"
    )


def _write(policy: NextToken, sequences: int, tokens: int) -> None:
    """Ask for every next token of so many laws; which tokens they are makes no difference."""
    words = _words(sequences, tokens)
    state = policy(words[:, :0], None).state
    for place in range(tokens - 1):
        state = policy(words[:, place : place + 1], state).state


def _write_anew(policy: NextToken, sequences: int, tokens: int) -> None:
    """The same with nothing remembered between the tokens."""
    words = _words(sequences, tokens)
    for length in range(tokens):
        policy(words[:, :length], None)


def _words(sequences: int, tokens: int) -> np.ndarray:
    """Tokens `[sequences, tokens]` of any kind but padding."""
    return np.random.default_rng(1).integers(1, Vocabulary(_NAMES).size, (sequences, tokens))


def _drawn(task: Task, count: int, longest: int, repeats: bool) -> np.ndarray:
    """Laws `[count, longest]` drawn from the policy under the mask, all at once."""
    draw = independent_draws if repeats else distinct_draws
    batches = draw(task, Decoder(task, longest), count, count, lambda log_prob: log_prob, longest)
    return np.concatenate([tokens for tokens, _ in batches])


def _is_legal(row: list[int], constraints: Constraints) -> bool:
    """Whether a row is one whole expression, then padding, and meets the constraints."""
    length = row.index(PAD) if PAD in row else len(row)
    law = row[:length]
    return (
        not any(row[length:]) and is_complete(law, constraints.vocabulary.arities) and constraints.allows(law)
    )


# -- flash-ansr ---------------------------------------------------------------------------------------------------

# the shape of its model of 3 million parameters, configs/v23.0-3M in its repository
_THEIR_SHAPE = {
    "pre_encoder_noise_scale": 0.1, "encoder_max_n_variables": 11, "encoder_dim": 192, "encoder_n_heads": 3,
    "encoder_n_isab": 1, "encoder_n_sab": 1, "encoder_n_inducing_points": 128, "encoder_n_seeds": 128,
    "encoder_ffn_hidden_dim": 576, "encoder_attn_norm": "rms_set", "encoder_ffn_norm": "rms_set",
    "encoder_output_norm": "rms_set", "decoder_input_dim": 192, "decoder_model_dim": 192, "decoder_n_layers": 3,
    "decoder_n_heads": 3, "decoder_max_seq_len": 128, "decoder_ffn_hidden_dim": 576,
    "decoder_use_rope_self_attn": True,
}  # fmt: skip
_THEIR_OPERATORS = (
    "+ - * / abs inv neg pow pow2 pow3 pow4 pow5 pow1_2 pow1_3 pow1_4 pow1_5 sin cos tan asin acos atan sinh cosh tanh "
    "asinh acosh atanh exp log mult2 mult3 mult4 mult5 div2 div3 div4 div5"
).split()


def _flash_ansr(X: np.ndarray, y: np.ndarray, sequences: int, tokens: int) -> SimpleNamespace | None:
    """Its model with random weights: `decode()` samples so many tokens of so many laws; None if not installed.

    No law ends early, as its end token is made impossible.  Of its simplifier, whose rules would have to be
    downloaded, only the word on a finished law would be asked.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs: Any = importlib.import_module("flash_ansr")
    except ImportError:
        return None
    from importlib.metadata import version

    names = [
        f"x{i + 1}" for i in range(_THEIR_SHAPE["encoder_max_n_variables"] - 1)
    ]  # the target is the last
    tokenizer = theirs.Tokenizer([*_THEIR_OPERATORS, *names])
    simplifier = SimpleNamespace(is_valid=lambda expression: False)
    model = theirs.FlashANSRModel(simplifier, tokenizer, **_THEIR_SHAPE).eval()
    with torch.no_grad():
        model.next_token_head[-1].bias[tokenizer["<eos>"]] = -math.inf
    absent = np.zeros((len(X), len(names) - X.shape[1]))
    data = torch.from_numpy(np.column_stack([X, absent, y])).float()

    def decode() -> None:
        with torch.no_grad():
            laws, _, _ = model.sample_top_kp(
                data, choices=sequences, max_len=1 + tokens, batch_size=sequences, valid_only=False,
                simplify=False, unique=False, initial_tokens=[tokenizer["<bos>"]],
            )  # fmt: skip
        if {len(law) for law in laws} != {1 + tokens} or len(laws) != sequences:
            raise RuntimeError("flash-ansr did not write as many tokens as it was asked for")

    return SimpleNamespace(decode=decode, version=version("flash-ansr"), parameters=model.n_params)


# -- from a table to fitted candidates ----------------------------------------------------------------------------


def _proposing(network: Model, choices: int, seconds: float) -> Iterator[str]:
    X, y = _table()
    best: dict[str, float] = {}
    end = time.perf_counter() + seconds / 2
    repeats = fitted = 0
    while repeats < 3 or time.perf_counter() < end:
        parts, fitted = _propose_and_refine(network, X, y, choices)
        if not best or sum(parts.values()) < sum(best.values()):
            best = parts
        repeats += 1
    yield f"{fitted} different laws for a table of {ROWS} rows, proposed and refined"
    for name, spent in best.items():
        yield f"  {name:<28} {spent:9.3f} s"
    yield f"  {'in all':<28} {sum(best.values()):9.3f} s"
    yield f"  {'regress(), with its report':<28} {_search(network, X, y, choices, seconds / 2):9.3f} s"


def _propose_and_refine(
    network: Model, X: np.ndarray, y: np.ndarray, choices: int
) -> tuple[dict[str, float], int]:
    """Seconds of each part, and how many laws were fitted."""
    parts = {"encoding": 0.0, "drawing, no law twice": 0.0, "refining": 0.0}
    clock = time.perf_counter()

    def spent(name: str) -> None:
        nonlocal clock
        before, clock = clock, time.perf_counter()
        parts[name] += clock - before

    task, problem = _task(network, X, y), Problem.of(X, y)
    spent("encoding")
    fitted = 0
    for batch in sample(task, choices, max_length=network.config.max_length):
        spent("drawing, no law twice")
        fits = refine(batch.tokens, problem, task.vocabulary, restarts=batch.restarts, max_steps=batch.steps)
        fitted += len(fits)
        spent("refining")
    return parts, fitted


def _search(network: Model, X: np.ndarray, y: np.ndarray, choices: int, seconds: float) -> float:
    """Seconds from the call of `regress` with this network to its result."""
    from nbsr.engine import regress

    table = Table.from_arrays(X, y, names=list(_NAMES))
    with tempfile.TemporaryDirectory() as place:
        models.save(network, Path(place) / "network")
        settings: dict[str, Any] = {"method": "softmax", "model": Path(place) / "network", "choices": choices}
        (elapsed,) = in_turns(seconds, lambda: regress(table, seconds=600.0, **settings))
    return elapsed
