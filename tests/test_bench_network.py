"""The measurements of the network: each runs from end to end at a small size, and what it counts is right."""

import contextlib
import io
import math
import re
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy_policy import toy_task, uniform

from nbsr import models
from nbsr.benchmark import ablation, decode, startup, train
from nbsr.cli import main
from nbsr.config import load_config
from nbsr.errors import UsageError
from nbsr.expression import PAD, Constraints, Vocabulary
from nbsr.model import Model, ModelConfig

TINY = ModelConfig(
    variables=5, width=16, heads=2, inducing=4, seeds=4, seed_blocks=1, decoder_blocks=1, max_length=16
)


def figures(lines: list[str], title: str) -> list[float]:
    """The numbers of the one line that begins with a title."""
    (line,) = (line for line in lines if line.strip().startswith(title))
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", line.strip().removeprefix(title))]


# -- decode


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The directory of a network of random weights."""
    torch.manual_seed(0)
    return str(models.save(Model(TINY), tmp_path_factory.mktemp("networks") / "tiny"))


@pytest.fixture(scope="module")
def decoded(tiny):
    """The lines of a small run."""
    asked = f"bench decode --sequences 12 --tokens 5 --seconds 0.1 --choices 30 --model {tiny}"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(asked.split()) == 0
    return printed.getvalue().splitlines()


def test_decoding_reports_every_speed(decoded):
    for title in ("keys and values kept", "the prefix read anew", "each for itself", "no law twice"):
        assert figures(decoded, title)[0] > 0


def test_every_law_is_legal_and_complete(decoded):
    assert figures(decoded, "legal and complete:")[:3] == [48, 48, 100]


def test_the_parts_of_proposing_add_up(decoded):
    assert figures(decoded, "30 different laws for a table of") == [decode.ROWS]
    parts = [figures(decoded, part)[0] for part in ("encoding", "drawing, no law twice", "refining")]
    assert figures(decoded, "in all")[0] == pytest.approx(sum(parts), abs=0.002)
    assert figures(decoded, "regress(), with its report")[0] > 0


def test_what_counts_as_legal():
    vocabulary = Vocabulary(("x", "y"), ("+", "*", "sin"))
    constraints = Constraints.build(vocabulary, forbid=("sin(sin(?))",))
    plus, sin, x = vocabulary.operator_ids["+"], vocabulary.operator_ids["sin"], vocabulary.variable(0)
    assert decode._is_legal([plus, sin, x, x, PAD], constraints)
    for wrong in ([plus, x, PAD, PAD], [x, x, PAD, PAD], [x, PAD, x, PAD], [sin, sin, x, PAD], [PAD] * 4):
        assert not decode._is_legal(wrong, constraints)


@pytest.mark.parametrize("repeats", [True, False])
def test_all_laws_are_drawn_at_once(repeats):
    vocabulary = Vocabulary(("x", "y"), ("+", "*", "sin"))
    policy = uniform(vocabulary)
    laws = decode._drawn(toy_task(policy, Constraints.build(vocabulary)), 40, 9, repeats)
    assert laws.shape == (40, 9)
    assert (len(np.unique(laws, axis=0)) == 40) != repeats
    assert len(policy.rows) <= 9  # one call a token, none of them a batch of its own


class TheirModel(torch.nn.Module):
    """Says what it was asked for, in the form of flash-ansr's model."""

    def __init__(self, simplifier, tokenizer, **shape):
        super().__init__()
        self.next_token_head = torch.nn.Sequential(torch.nn.Linear(2, len(tokenizer.names)))
        self.n_params, self.variables, self.asked = 10, shape["encoder_max_n_variables"], {}

    def sample_top_kp(self, data, **asked):
        self.asked = asked
        *_, bias = self.parameters()
        ending = torch.isneginf(bias).nonzero().tolist()
        laws = [[7] * asked["max_len"]] * asked["choices"]
        assert data.shape == (decode.ROWS, self.variables) and ending == [[1]]
        return laws, [0.0] * len(laws), [False] * len(laws)


class TheirTokenizer:
    def __init__(self, vocabulary):
        self.names = ["<bos>", "<eos>", *vocabulary]

    def __getitem__(self, name):
        return self.names.index(name)


def test_flash_ansr_is_asked_for_the_same(monkeypatch):
    module = SimpleNamespace(Tokenizer=TheirTokenizer, FlashANSRModel=TheirModel)
    monkeypatch.setitem(sys.modules, "flash_ansr", module)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.4.3")
    peer = decode._flash_ansr(*decode._table(), sequences=6, tokens=4)
    assert peer is not None and (peer.version, peer.parameters) == ("0.4.3", 10)
    peer.decode()
    monkeypatch.setattr(TheirModel, "sample_top_kp", lambda self, data, **asked: ([[7] * 3] * 6, [], []))
    with pytest.raises(RuntimeError, match="as many tokens"):
        peer.decode()


def test_without_flash_ansr_the_run_says_so(decoded, monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_ansr", None)
    assert decode._flash_ansr(*decode._table(), sequences=2, tokens=2) is None


# -- train


@pytest.fixture(scope="module")
def trained():
    config = load_config("test")
    prior = replace(config.prior, shard=16, reuse=256, operator_counts={2: 1.0, 3: 1.0})
    return train.run(replace(config, prior=prior), most=1)


def test_the_prior_is_timed_and_its_parts_are_shares_of_the_whole(trained):
    (speed,) = figures(trained, "one process")
    parts = [
        figures(trained, name) for name in (*dict.fromkeys(name for name, _, _ in train._PARTS), "the rest")
    ]
    assert figures(trained, "simplification")[0] > 0 and figures(trained, "evaluation")[0] > 0
    assert sum(each for each, _ in parts) == pytest.approx(1e6 / speed, rel=0.01)
    assert sum(share for _, share in parts) == pytest.approx(100, abs=1)
    assert figures(trained, "stream, processes: 1")[0] > 0
    assert figures(trained, "16 tables of each law")[0] > 0


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_steps_are_timed_at_every_setting(trained, precision):
    (line, *_) = [line for line in trained if line.strip().startswith(f"{precision} ")]
    assert re.search(r" threads: 1 +[1-9]\d* samples/s$", line)


def test_too_few_steps_for_a_speed():
    config = load_config("test")
    with pytest.raises(ValueError, match="too few"):
        train._speed(config, train.HeldOut(config.tokenizer.vocabulary), steps=1)


def test_the_stopwatch_counts_inner_parts_once(monkeypatch):
    clock = iter([0.0, 1.0, 4.0, 10.0])
    owner = SimpleNamespace(inside=lambda: None)
    owner.outside = lambda: owner.inside()
    before = dict(vars(owner))
    monkeypatch.setattr(train, "_PARTS", (("outer", owner, "outside"), ("inner", owner, "inside")))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    with train._stopwatch() as spent:
        owner.outside()
    assert dict(spent) == {"inner": 3.0, "outer": 7.0}
    assert vars(owner) == before


# -- memory


def test_the_weight_of_a_kernel_with_a_network(tiny):
    resident, peak = startup._weight("softmax", tiny, 120, "--choices 20")
    assert 50 < resident <= peak


def test_a_search_that_the_network_took_no_part_in_is_not_weighed(tiny):
    with pytest.raises(UsageError, match="no turn"):
        startup._weight("pairs", tiny, 120, "--choices 20")


def test_a_network_to_weigh_that_is_not_there(capsys):
    assert main(["bench", "network-memory", "--model", "nowhere"]) == 2
    assert "no network or directory 'nowhere'" in capsys.readouterr().err


# -- ablation


@pytest.fixture(scope="module")
def valued(tmp_path_factory):
    """The directory of a network of random weights that says something of the value."""
    torch.manual_seed(0)
    model = Model(TINY)
    model.value_trained = True
    return str(models.save(model, tmp_path_factory.mktemp("networks") / "valued"))


def test_both_sides_of_an_ablation_search_the_same(valued, monkeypatch):
    asked = []

    def run_problem(problem, settings):
        asked.append((problem.id, settings))
        heard = models.load(settings.model).value_trained if settings.model != "none" else False
        fvu = 1e-14 if settings.model == valued else 1e-6 if heard or settings.noise else math.nan
        return SimpleNamespace(recovered=heard, symbolic=False, fvu=fvu, elapsed=0.5)

    monkeypatch.setattr(ablation, "run_problem", run_problem)
    told = []
    table = ablation.run(
        2.0,
        choices=8,
        seeds=(3, 4),
        only=["I.9.18", "I.6.2", "I.6.2b"],
        model=valued,
        rows=50,
        report=told.append,
    )
    assert table[0].startswith("2 problems of 3 or more variables, 2 seeds, 50 rows")  # I.6.2 has but two
    assert told[-len(table) :] == table and len(told) == 12 + len(table)
    first, second = asked[::2], asked[1::2]
    for (problem, a), (other, b) in zip(first, second):
        assert problem == other and a.model != b.model
        assert replace(a, model=None) == replace(b, model=None)
    assert {a.model == valued for _, a in first} == {True, False}  # neither side is always the first
    assert [(s.method, s.noise, s.choices) for _, s in asked[::8]] == [
        ("auto", 0.0, None), ("auto", 0.01, None), ("mcts", 0.0, 8)
    ]  # fmt: skip
    rows = [re.split(r"  +", line) for line in table[2:]]
    assert [row[0] for row in rows[::2]] == [
        "auto, 2 s, the network there", "auto, 2 s, noise 1%, the network there",
        "mcts, 8 refinements, the value there",
    ]  # fmt: skip
    assert [row[1:] for row in rows[2:4]] == [["4/4", "0", "-12.00", "4"], ["0/4", "0", "-6.00", "0"]]
    assert [row[1:] for row in rows[4:]] == [["4/4", "0", "-12.00", "4"], ["0/4", "0", "0.00", "0"]]


def test_a_real_ablation(valued, capsys):
    command = f"bench ablation --only I.9.18 --seeds 1 --seconds 0.5 --choices 8 --rows 20 --model {valued}"
    assert main(command.split()) == 0
    printed = capsys.readouterr().out.splitlines()
    assert sum(": I.9.18" in line for line in printed) == 3
    assert printed[3] == "1 problems of 3 or more variables, 1 seeds, 20 rows" and len(printed) == 3 + 8


def test_an_ablation_needs_a_value(tiny, capsys):
    assert main(f"bench ablation --model {tiny}".split()) == 2
    assert "has not been trained" in capsys.readouterr().err
