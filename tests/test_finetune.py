"""Fine-tuning by reward: the objective against its definition, adapters that change nothing or come back, bad ends."""

import itertools
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.utils.capture import capture_output

import nbsr
from nbsr import models
from nbsr.adapter import Adapter, fingerprint, targets
from nbsr.benchmark import finetune as bench
from nbsr.benchmark.domains import COLUMNS, laws_of, parts_of, table_of
from nbsr.cli import main
from nbsr.config import load_config
from nbsr.errors import UsageError
from nbsr.evaluate import compile_programs
from nbsr.evaluate import evaluate as evaluated
from nbsr.expression import PAD, Vocabulary, is_complete
from nbsr.model import Model
from nbsr.prior import HeldOut
from nbsr.reinforcement import FineTuning, Tuning, finetune, log_linear, report
from nbsr.reinforcement.contexts import bootstrap, prepared, sources
from nbsr.reinforcement.objective import advantages, objective
from nbsr.reinforcement.report import line_of
from nbsr.reinforcement.reward import errors_of
from nbsr.rollout import draw, legal_tokens
from nbsr.table import Table

SHAPE = replace(load_config("test").model, variables=3)
SMALL = Tuning(steps=3, contexts=4, samples=8, rows=24, validate_every=1, judged=8, rank=2)


def quiet(row):
    pass


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Model(SHAPE).eval()


def table(law=lambda x, z: x * z + x, rows=40, seed=0):
    X = np.random.default_rng(seed).uniform(0.5, 3, (rows, 2))
    return Table.from_arrays(X, law(*X.T), names=["x", "z"])


def contexts_of(network, count=3, seed=0):
    rng = np.random.default_rng(seed)
    found = sources([table(), table(lambda x, z: x / z)], network, rng)
    return [bootstrap(found[k % 2], 24, rng) for k in range(count)]


def drawn(network, contexts, samples=5, seed=0):
    read = prepared(contexts, network)
    told = torch.zeros(len(contexts), dtype=torch.int64)
    with torch.no_grad():
        memory = network.encode(read)
        laws = draw(network, read, told, samples, torch.Generator().manual_seed(seed), memory=memory)
    return read, memory, laws


# -- laws that are drawn


def test_laws_are_whole_and_their_likelihood_is_that_of_reading_them_again(network):
    contexts = contexts_of(network)
    read, memory, laws = drawn(network, contexts)
    tokens, said = laws.tokens.flatten(0, 1), laws.log_prob.flatten(0, 1)
    arities = network.vocabulary.arities
    for law in tokens.tolist():
        word = [token for token in law if token != PAD]
        assert is_complete(word, arities) and law[: len(word)] == word
    owner = torch.arange(len(contexts)).repeat_interleave(5)
    with torch.no_grad():
        logits, _ = network(memory[owner], tokens[:, :-1], torch.zeros(len(tokens), dtype=torch.int64))
    legal = legal_tokens(network, read.columns[owner], tokens)
    again = logits.masked_fill(~legal, -torch.inf).log_softmax(-1)
    there = tokens != PAD
    torch.testing.assert_close(
        again.gather(2, tokens[..., None])[..., 0][there], said[there], atol=1e-4, rtol=0
    )
    assert not said[~there].any() and legal.gather(2, tokens[..., None]).all()
    variables = network.vocabulary.first_variable + torch.arange(network.config.variables)
    assert not set(variables[2:].tolist()) & set(tokens.flatten().tolist()), "a column that is not there"


# -- the objective


def by_hand(rewards, share):
    """Advantages by their definition, one group at a time."""
    found = []
    for group in rewards.tolist():
        mean = sum(group) / len(group)
        spread = math.sqrt(sum((r - mean) ** 2 for r in group) / len(group)) + 0.05
        if share == 1:
            found.append([(r - mean) / spread for r in group])
            continue
        ranked = sorted(group, reverse=True)
        baseline = ranked[min(max(1, round(share * len(group))), len(group) - 1)]
        found.append([max(r - baseline, 0.0) / spread for r in group])
    return torch.tensor(found, dtype=torch.float64)


@settings(max_examples=40, deadline=None)
@given(
    rewards=st.lists(st.floats(0, 1), min_size=6, max_size=6),
    share=st.sampled_from([0.1, 0.25, 0.5, 1.0]),
)
def test_advantages_are_those_of_the_definition(rewards, share):
    given_ = torch.tensor(rewards, dtype=torch.float64).reshape(2, 3)
    torch.testing.assert_close(advantages(given_, share), by_hand(given_, share))
    if share < 1:
        assert ((advantages(given_, share) > 0).sum(1) <= max(1, round(3 * share))).all()


def test_equal_rewards_teach_nothing():
    for share in (0.25, 1.0):
        assert advantages(torch.full((2, 8), 0.7), share).abs().max() < 1e-5


@pytest.mark.parametrize("kl, entropy", [(0.0, 0.0), (0.3, 0.0), (0.0, 0.2), (0.1, 0.05)])
def test_the_objective_is_that_of_the_definition(kl, entropy):
    rng = np.random.default_rng(0)
    tokens = torch.tensor([[2, 1, 1, PAD], [3, 2, 1, 1]])
    legal = torch.from_numpy(rng.random((2, 4, 5)) < 0.6)
    legal.scatter_(2, tokens[..., None], True)
    new, reference = (
        torch.from_numpy(rng.normal(size=(2, 4, 5))).masked_fill(~legal, -torch.inf).log_softmax(-1)
        for _ in range(2)
    )
    old = new.gather(2, tokens[..., None])[..., 0] + torch.from_numpy(rng.normal(size=(2, 4)) * 0.4)
    advantage, counts = torch.tensor([1.5, -0.7], dtype=torch.float64), torch.tensor([2.0, 1.0])
    tuning = Tuning(clip=0.2, kl=kl, entropy=entropy)
    terms = objective(new, reference, old, tokens, advantage, counts, tuning)
    gain = apart = undecided = total = 0.0
    for r, t in itertools.product(range(2), range(4)):
        if tokens[r, t] == PAD:
            continue
        many = float(counts[r])
        ratio = math.exp(float(new[r, t, tokens[r, t]] - old[r, t]))
        clipped = min(max(ratio, 0.8), 1.2)
        gain += many * min(ratio * float(advantage[r]), clipped * float(advantage[r]))
        for v in range(5):
            if legal[r, t, v]:
                p, lp, lq = math.exp(float(new[r, t, v])), float(new[r, t, v]), float(reference[r, t, v])
                apart += many * p * (lp - lq)
                undecided -= many * p * lp
        total += many
    wanted = (-gain + kl * apart - entropy * undecided) / total
    assert float(terms.loss) == pytest.approx(wanted)
    assert float(terms.kl) == pytest.approx(apart / total)
    assert float(terms.entropy) == pytest.approx(undecided / total)


def test_the_gradient_at_the_start_is_that_of_the_likelihood():
    """Where nothing has moved, ratio 1 and distance 0, it is the policy gradient of the laws' own tokens."""
    logits = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    tokens, advantage = torch.tensor([[2, 1], [3, 1], [1, PAD]]), torch.tensor([1.0, -2.0, 0.5]).double()
    gradients = []
    for ratio in (True, False):
        free = logits.clone().requires_grad_(True)
        new = free.log_softmax(-1)
        said = new.gather(2, tokens[..., None])[..., 0]
        if ratio:
            terms = objective(
                new,
                new.detach(),
                said.detach(),
                tokens,
                advantage,
                torch.ones(3),
                Tuning(kl=0.5, entropy=0.0),
            )
            assert float(terms.kl.detach()) == 0
            assert float(terms.surrogate.detach()) == pytest.approx((2 * 1 - 2 * 2 + 0.5) / 5)
            terms.loss.backward()
        else:
            (-(said * (tokens != PAD) * advantage[:, None]).sum() / 5).backward()
        gradients.append(free.grad)
    torch.testing.assert_close(*gradients)


# -- rewards


@pytest.mark.parametrize(
    "error, reward",
    [(np.inf, 0), (np.nan, 0), (1e3, 0), (1, 0), (1e-2, 0.25), (1e-4, 0.5), (1e-8, 1), (1e-30, 1), (0, 1)],
)
def test_rewards_go_by_decades(error, reward):
    assert log_linear()(np.array([error], float))[0] == pytest.approx(reward)


def test_a_reward_with_other_ends():
    assert log_linear(10, 1e-3)(np.array([1.0, 1e-3])) == pytest.approx([0.25, 1])
    for worst, goal in ((1.0, 1.0), (1.0, 0.0), (np.inf, 0.1)):
        with pytest.raises(UsageError, match="give a goal above 0"):
            log_linear(worst, goal)


def test_the_error_is_that_on_rows_that_did_not_fit(network):
    context = contexts_of(network, 1)[0]
    vocabulary = Vocabulary(context.source.names, network.config.operators)
    law = [nbsr.Expression.parse(text, vocabulary, True).tokens for text in ("c0*x + z", "x*z + x")]
    laws = np.zeros((2, 8), np.int64)
    for k, word in enumerate(law):
        laws[k, : len(word)] = word
    fits, errors = errors_of(laws, context, vocabulary)
    assert not set(context.seen) & set(context.unseen)
    values = evaluated(compile_programs(laws, vocabulary), np.nan_to_num(fits.constants), context.X)
    for k in range(2):
        apart = np.mean((values[k] - context.y)[context.unseen] ** 2) / np.var(context.y)
        assert errors[k] == pytest.approx(apart)
    assert errors[1] < 1e-20 < errors[0]


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(8, 60), most=st.integers(4, 100), seed=st.integers(0, 99))
def test_subsets_leave_rows_to_judge_and_none_that_are_put_apart(rows, most, seed):
    torch.manual_seed(0)
    rng = np.random.default_rng(seed)
    found = sources([table(rows=rows)], _TINY, rng)[0]
    context = bootstrap(found, most, rng)
    assert len(context.unseen) >= max(2, len(found.learned) // 5) and 1 <= len(context.seen) <= most
    assert set(context.seen) | set(context.unseen) == set(found.learned)
    assert not set(found.learned) & set(found.apart) and len(found.apart) >= 2


_TINY = Model(replace(SHAPE, width=8))


# -- adapters


def test_a_fresh_adapter_changes_nothing(network):
    adapter = Adapter.fresh(network, 4, torch.Generator().manual_seed(0))
    changed = Model(network.config)
    changed.load_state_dict(network.state_dict())
    adapter.apply(changed)
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, changed.state_dict()[name])
    assert set(adapter.factors) == set(targets(network)) and adapter.rank == 4
    assert all("decoder" in name for name in adapter.factors)


def nudged(network, amount=0.1):
    adapter = Adapter.fresh(network, 2, torch.Generator().manual_seed(0))
    for pair in adapter.factors.values():
        pair.up.normal_(std=amount, generator=torch.Generator().manual_seed(1))
    return adapter


def test_an_adapter_that_is_saved_comes_back_by_name(network, tmp_path):
    base = models.save(network, tmp_path / "base")
    adapter = nudged(network)
    place = models.save_adapter(adapter, tmp_path / "tuned", str(base), "a test")
    assert sum(file.stat().st_size for file in place.iterdir()) > 0
    again = models.load_adapter(place)
    for name, part in adapter.state().items():
        assert torch.equal(part, again.state()[name])
    assert models.find(f"{base}+{place}") == models.find(models.find(f"{base}+{place}"))
    loaded = models.load(f"{base}+{place}")
    for name, weight in targets(loaded).items():
        wanted = targets(network)[name] + adapter.factors[name].up @ adapter.factors[name].down
        torch.testing.assert_close(weight, wanted)
    assert fingerprint(loaded) != fingerprint(network) == adapter.base
    second = models.save_adapter(nudged(loaded), tmp_path / "again", f"{base}+{place}")
    assert fingerprint(models.load(f"{base}+{place}+{second}")) != fingerprint(loaded)


def test_adapters_that_do_not_fit_are_refused_in_a_sentence(network, tmp_path):
    base = models.save(network, tmp_path / "base")
    place = models.save_adapter(nudged(network), tmp_path / "tuned", str(base))
    torch.manual_seed(5)
    other = models.save(Model(network.config), tmp_path / "other")
    with pytest.raises(UsageError, match="made for a network with the fingerprint") as slip:
        models.load(f"{other}+{place}")
    assert "\n" not in str(slip.value)
    with pytest.raises(UsageError, match="There is no adapter in"):
        models.load(f"{base}+{base}")
    with pytest.raises(UsageError, match=r"It holds an adapter; name it with its network"):
        models.load(place)
    with pytest.raises(UsageError, match="holds something else than an adapter"):
        models.save_adapter(nudged(network), base, "base")
    about = yaml.safe_load((place / models.ADAPTER).read_text())
    for change, said in (
        ({"format": 99}, "install a newer nbsr"), ({"format": "x"}, "does not say its format"),
        ({"fingerprint": 3}, "does not say the fingerprint"),
    ):  # fmt: skip
        (place / models.ADAPTER).write_text(yaml.safe_dump(about | change))
        with pytest.raises(UsageError, match=said):
            models.load(f"{base}+{place}")
    (place / models.ADAPTER).write_text(yaml.safe_dump(about))
    for state, said in (
        ({}, "it is empty"), ([1], "something else than factors"), ({"a.up": torch.ones(2, 2)}, "no two factors"),
        ({"a.up": torch.ones(2, 2), "a.down": torch.full((2, 2), torch.nan)}, "finite numbers"),
        ({"a.up": torch.ones(2, 2), "a.down": torch.ones(2, 2)}, "not those of its network"),
    ):  # fmt: skip
        torch.save(state, place / models.FACTORS)
        with pytest.raises(UsageError, match=said):
            models.load(f"{base}+{place}")
    (place / models.FACTORS).write_bytes(b"broken")
    with pytest.raises(UsageError, match="damaged or no file of weights"):
        models.load(f"{base}+{place}")
    (place / models.FACTORS).unlink()
    with pytest.raises(UsageError, match="is no adapter"):
        models.load(f"{base}+{place}")


# -- whole runs


def test_the_reward_rises(network):
    """A network with random weights learns within seconds what two tables have in common."""
    tables = [table(lambda x, z: x * z), table(lambda x, z: x * z + x, seed=1)]
    tuning = Tuning(
        steps=12, contexts=4, samples=16, rows=24, validate_every=4, judged=16, learning_rate=1e-2
    )
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    tuned = finetune(network, tables, tuning=tuning, callback=quiet)
    rewards = [row["reward"] for row in tuned.log]
    assert np.mean(rewards[-4:]) > np.mean(rewards[:4]) + 0.1
    assert tuned.best > 0 and tuned.ended == "steps" and len(tuned.log) == 12
    assert tuned.log[0]["kl"] == pytest.approx(0, abs=1e-6) and tuned.log[-1]["kl"] > 0.01
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())
    shown = tuned.table
    assert len(shown) == 2
    assert (shown["reward after"].to_numpy() > shown["reward before"].to_numpy()).any()
    assert set(tuned.says["when"]) == {"before", "after"}
    assert "reward on what judges" in repr(tuned) and tuned.plot().png()[:4] == b"\x89PNG"


def test_equal_seeds_give_equal_adapters_and_the_name_finds_them(network, tmp_path):
    base = models.save(network, tmp_path / "base")
    out = tmp_path / "tuned"
    tuned = finetune(str(base), table(), tuning=SMALL, out=out, callback=quiet)
    again = finetune(network, [table()], tuning=SMALL, callback=quiet)
    assert tuned.adapter.base == again.adapter.base == fingerprint(models.load(base))
    for name, part in tuned.adapter.state().items():
        assert torch.equal(part, again.adapter.state()[name])
    assert tuned.name == f"{base}+{out}"
    loaded = models.load(tuned.name)
    for name, weight in tuned.model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], weight)
    result = nbsr.regress(table(), method="softmax", model=tuned.name, choices=8, seconds=20)
    assert len(result.candidates)
    assert again.save(tmp_path / "more").endswith(f"+{tmp_path / 'more'}")


def test_tables_of_other_widths_and_weights_go_together(network):
    rng = np.random.default_rng(3)
    narrow = Table.from_arrays(
        rng.uniform(1, 2, (12, 1)), rng.uniform(1, 2, 12), weights=rng.uniform(1, 2, 12)
    )
    tuned = finetune(
        network,
        [narrow, table()],
        validation=[table(seed=9)],
        tuning=replace(SMALL, share=1.0),
        callback=quiet,
    )
    assert len(tuned.table) == 1 and all(np.isfinite(row["loss"]) for row in tuned.log)


@pytest.mark.parametrize(
    "tables, said",
    [
        ([], "There is no table to learn from"),
        ([table(rows=3)], "has 3 rows; fine-tuning needs at least 8"),
        ([table(), table(rows=5)], "Table 2 has 5 rows"),
        ([Table.from_arrays(np.random.default_rng(0).random((20, 12)), np.arange(20.0))], "has 12 columns"),
    ],
)
def test_tables_that_cannot_teach_are_refused(network, tables, said):
    with pytest.raises(UsageError, match=said):
        finetune(network, tables, tuning=SMALL, callback=quiet)


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda errors: errors * np.nan, r"The reward of \d+ of \d+ laws is not a finite number"),
        (lambda errors: np.ones(1), "give one each"),
    ],
)
def test_rewards_that_are_no_numbers_end_the_run(network, answer, said):
    with pytest.raises(UsageError, match=said):
        finetune(network, table(), tuning=SMALL, reward=answer, callback=quiet)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"steps": 0}, "'steps' is 0"), ({"samples": 1}, "'samples' is 1; give at least 2"),
        ({"share": 0.0}, "'share' is 0.0"), ({"learning_rate": math.nan}, "positive number"), ({"kl": -1.0}, "'kl' is"),
    ],
)  # fmt: skip
def test_settings_without_sense_are_refused(changes, said):
    with pytest.raises(UsageError, match=said):
        Tuning(**changes)


def test_an_interrupt_keeps_the_best_so_far(network, tmp_path):
    base = models.save(network, tmp_path / "base")

    def interrupt(row):
        if row["step"] == 2:
            raise KeyboardInterrupt

    tuned = finetune(str(base), table(), tuning=SMALL, out=tmp_path / "out", callback=interrupt)
    assert isinstance(tuned, FineTuning) and tuned.ended == "interrupt" and len(tuned.log) == 2
    models.load(tuned.name)


def test_the_time_ends_a_run_with_a_measurement(network):
    tuned = finetune(network, table(), tuning=replace(SMALL, validate_every=50), seconds=1e-6, callback=quiet)
    assert tuned.ended == "seconds" and len(tuned.log) == 1 and not math.isnan(tuned.log[0]["validation"])
    with pytest.raises(UsageError, match="'seconds' is 0"):
        finetune(network, table(), seconds=0)


KILLED = """
import os, sys
import numpy as np
import nbsr
from nbsr.table import Table
from nbsr.reinforcement import Tuning
X = np.random.default_rng(0).uniform(0.5, 3, (40, 2))
table = Table.from_arrays(X, X[:, 0] * X[:, 1])
def end(row):
    os._exit(9)
tuning = Tuning(steps=2, contexts=2, samples=4, judged=4)
nbsr.finetune(sys.argv[1], table, tuning=tuning, out=sys.argv[2], callback=end)
"""


def test_what_a_killed_process_leaves_is_whole(network, tmp_path):
    base, out = models.save(network, tmp_path / "base"), tmp_path / "out"
    place = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", KILLED, str(base), str(out)], env=place, check=False)
    assert ended.returncode == 9
    models.load(f"{base}+{out}")


def test_a_full_disk_leaves_the_adapter_that_was_there(network, tmp_path, monkeypatch):
    base = models.save(network, tmp_path / "base")
    place = models.save_adapter(nudged(network), tmp_path / "tuned", str(base))

    def full(state, file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UsageError, match="cannot be written: No space left"):
        models.save_adapter(nudged(network, 0.5), place, str(base))
    monkeypatch.undo()
    models.load(f"{base}+{place}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "tuned"]
    shutil.rmtree(place)


def test_the_lines_of_a_run(network):
    with capture_output() as said:
        finetune(network, table(), tuning=SMALL)
    lines = said.stdout.splitlines()
    assert len(lines) == 3 and all("reward" in line and "validation" in line for line in lines)
    row = dict.fromkeys(("step", "seconds", "reward", "top", "valid", "kl", "entropy", "loss"), 1.0)
    assert "validation" not in line_of(row | {"validation": math.nan})


def test_the_picture_is_drawn_anew_and_stays(network, shell, monkeypatch):
    monkeypatch.setattr(report, "EVERY", 0.0)
    monkeypatch.setattr(report, "in_notebook", lambda: True)
    with capture_output() as captured:
        finetune(network, table(), tuning=SMALL)
    first, *others = captured.outputs
    assert not captured.stdout and not first.update and len(others) == SMALL.steps + 1
    assert all(one.update and "image/svg+xml" in one.data for one in others)
    assert others[-1].data["text/plain"].startswith("step 3 ")


# -- the command and the bench


@pytest.fixture
def files(tmp_path):
    places = []
    for k, law in enumerate((lambda x, z: x * z, lambda x, z: x * z + x)):
        found = table(law, seed=k)
        place = tmp_path / f"table{k}.csv"
        lines = [f"{x!r},{z!r},{y!r}" for (x, z), y in zip(found.X.tolist(), found.y.tolist())]
        place.write_text("\n".join(["x,z,rate", *lines]))
        places.append(str(place))
    return places


def test_the_command_leaves_an_adapter_and_says_how_to_use_it(network, files, tmp_path, capsys):
    base, out = models.save(network, tmp_path / "base"), tmp_path / "tuned"
    asked = [
        "finetune",
        *files,
        "--out",
        str(out),
        "--model",
        str(base),
        "--steps",
        "2",
        "--validation",
        files[0],
    ]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert f"use it as: --model {base}+{out}" in said and "FineTuning(" in said and "probability" in said
    models.load(f"{base}+{out}")
    assert main([*asked, "--formula", "rate ~ x"]) == 0


def test_slips_of_the_command_are_told_in_a_sentence(files, tmp_path, capsys):
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    for file, extra, said in (
        ("nowhere.csv", [], "cannot be read"), (str(empty), [], "no table of comma-separated values"),
        (files[0], ["--model", "nowhere"], "There is no network"), (files[0], ["--formula", "rate ~ q"], "'q'"),
    ):  # fmt: skip
        assert main(["finetune", file, "--out", str(tmp_path / "out"), *extra]) == 2
        error = capsys.readouterr().err
        assert error.startswith("nbsr: ") and said in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_no_law_of_a_field_is_in_two_parts():
    domain = "oscillations"
    parts = parts_of(domain)
    assert sum(map(len, parts)) == len(set(laws_of(domain))) and len(parts[2]) >= 12
    columns = Vocabulary(tuple(COLUMNS[domain]))
    held_out = HeldOut.of([_numbered(law).to(columns) for law in parts[2]], columns)
    assert not held_out.among([_numbered(law).to(columns) for part in parts[:2] for law in part]).any()
    law = parts[2][0]
    found, truth = table_of(law, 3, 50)
    np.testing.assert_allclose(truth.predict(found.X), found.y)
    noisy, again = table_of(law, 3, 50, noise=0.1)
    assert again == truth and 0.05 < np.std(noisy.y - found.y) / np.std(found.y) < 0.2


def _numbered(law):
    form = law.form
    return form.with_constants([1.3 + 0.37 * k if c != c else c for k, c in enumerate(form.constants)])


def test_a_field_that_is_not_there():
    with pytest.raises(UsageError, match="There is no field 'kinetic'.*Did you mean 'kinetics'"):
        laws_of("kinetic")


def test_the_bench_says_what_was_found_before_and_after(network, tmp_path):
    base = models.save(Model(replace(SHAPE, variables=5)), tmp_path / "base")
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            bench, "general_cases", lambda network, count: bench.held_out_cases("kinetics", 5, 0.0)[:2]
        )
        patch.setattr(bench, "held_out_cases", _few(bench.held_out_cases))
        answer = bench.run((0,), ["kinetics"], 4, 2, str(base), replace(SMALL, steps=1), lines.append)
    assert answer == lines[-3:] and "before" in answer[1] and "after" in answer[2]
    assert answer[1].count("%") == 3 and "FineTuning(" in lines[1]


def _few(cases):
    return lambda domain, seed, noise: cases(domain, seed, noise)[:3]


def test_a_case_is_found_by_a_network_that_says_its_law(network):
    X = np.random.default_rng(0).uniform(1, 2, (400, 2))
    sum_, wild = X.sum(axis=1), np.sin(40 * X[:, 0]) / X[:, 1]
    cases = [bench.Case(X[:100], y[:100], X[100:], y[100:], 0.0) for y in (sum_, wild)]
    assert bench.found(network, cases, 64) == 0.5
