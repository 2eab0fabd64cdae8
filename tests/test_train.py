"""Training: the gradient of a batch however it is split, runs that go on where they were killed, and bad ends."""

import csv
import importlib
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace

import lightning_fabric
import numpy as np
import pytest
import torch
from IPython.utils.capture import capture_output

import nbsr
from nbsr import models
from nbsr.cli import main
from nbsr.config import load_config
from nbsr.errors import UsageError
from nbsr.prior import SkeletonPool
from nbsr.training import Report, learning_rate, train
from nbsr.training.batches import batch_of, joined, rows_of, trimmed
from nbsr.training.log import COLUMNS, read_log
from nbsr.training.measure import Learner, at_rest, decode, proposals, solved, validate
from nbsr.training.plot import in_notebook, live, losses_of
from nbsr.training.run import Run, checkpoints
from nbsr.training.value import best_by_prefix, reward

CONFIG = load_config("test")


def quiet(row):
    pass


def configured(**changes):
    """The shipped `test` configuration, drawn in this process, with other settings of training."""
    return replace(CONFIG, train=replace(CONFIG.train, **{"workers": 0, "threads": 1, **changes}))


@pytest.fixture(scope="module", autouse=True)
def pools():
    """One pool for all runs with the same prior: its shards are drawn once."""
    shared = {}

    def pool(*arguments):
        return shared.setdefault(repr(arguments), SkeletonPool(*arguments))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("nbsr.training.run"), "SkeletonPool", pool)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run from the first step to the last, of which the tests below know the losses."""
    out = tmp_path_factory.mktemp("run") / "whole"
    return train(configured(), out, callback=quiet)


def losses(report_or_rows):
    rows = report_or_rows.log if isinstance(report_or_rows, Report) else report_or_rows
    return {row["step"]: row["loss"] for row in rows}


def fresh(tmp_path, **changes):
    fabric = lightning_fabric.Fabric(accelerator="cpu", devices=1, precision="32-true")
    return Run(fabric, configured(**changes), tmp_path, None)


# -- one step


def gradients(run, instances, told):
    sums = run.gradients(instances, told)
    found = [p.grad.clone() for p in run.model.parameters() if p.grad is not None]
    run.optimizer.zero_grad()
    return sums, found


@pytest.mark.parametrize("micro_batch", [1, 3, 8, 16])
def test_a_batch_in_passes_has_the_gradient_of_the_whole(tmp_path, micro_batch):
    run = fresh(tmp_path)
    instances, told = run.pool.batch(0, 16), np.arange(16) % 3 == 0
    whole, expected = gradients(run, instances, told)
    run.micro_batch = micro_batch
    sums, found = gradients(run, instances, told)
    torch.testing.assert_close(sums, whole)
    assert len(found) == len(expected) > 10
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_the_loss_is_the_mean_over_real_tokens(tmp_path):
    run = fresh(tmp_path)
    instances, told = run.pool.batch(0, 16), np.zeros(16, bool)
    batch = batch_of(trimmed(instances), run.model, told)
    with torch.no_grad():
        logits, _ = run.model(run.model.encode(batch.prepared), batch.tokens[:, :-1], batch.told)
    chance = logits.log_softmax(-1).gather(2, batch.tokens[..., None])[..., 0]
    real = batch.tokens != 0
    loss, right, count = run.gradients(instances, told).tolist()
    assert count == int(real.sum())
    assert loss == pytest.approx(float(-chance[real].sum()), rel=1e-5)
    assert right == int((logits.argmax(-1)[real] == batch.tokens[real]).sum())


def test_validation_is_the_loss_with_every_second_complexity_told(tmp_path):
    run = fresh(tmp_path)
    instances = run.pool.batch(0, 16)
    loss, right, count = run.gradients(instances, np.arange(16) % 2 == 0).tolist()
    for size in (4, 16):
        config = replace(CONFIG.evaluation, batch=size)
        found = validate(run.model, instances, config, run.fabric.autocast)
        assert found == pytest.approx((loss / count, right / count), rel=1e-5)
    assert run.model.training


def test_padding_changes_nothing(tmp_path):
    run = fresh(tmp_path)
    some = trimmed(run.pool.batch(0, 16))
    wider = joined([some, rows_of(run.pool.batch(1, 16), slice(0, 0))])
    padded = replace(
        wider,
        tokens=np.pad(wider.tokens, [(0, 0), (0, 3)]),
        inputs=np.pad(wider.inputs, [(0, 0), (0, 5), (0, 0)]),
        response=np.pad(wider.response, [(0, 0), (0, 5)]),
        rows=np.pad(wider.rows, [(0, 0), (0, 5)]),
    )
    told = np.ones(16, bool)
    torch.testing.assert_close(run.gradients(padded, told), run.gradients(some, told))


@pytest.mark.parametrize(
    ("schedule", "at"),
    [
        ("trapezoid", {0: 0.1, 4: 0.5, 9: 1.0, 50: 1.0, 80: 1.0, 90: 0.5, 100: 0.0}),
        ("linear", {0: 0.1, 9: 0.91, 50: 0.5, 100: 0.0}),
        ("cosine", {50: 0.5, 100: 0.0}),
    ],
)
def test_the_learning_rate_rises_stays_and_falls(schedule, at):
    config = replace(CONFIG.train, steps=100, warmup=10, schedule=schedule, decay=0.2, learning_rate=2.0)
    for step, share in at.items():
        assert learning_rate(config, step) == pytest.approx(2 * share)


def test_a_decay_can_begin_anywhere():
    config = replace(CONFIG.train, steps=100, warmup=10, decay=0.2, learning_rate=2.0)
    rates = [learning_rate(config, step, finish=(40, 20)) for step in (39, 40, 50, 59, 60, 70)]
    assert rates == pytest.approx([2.0, 2.0, 1.0, 0.1, 0.0, 0.0])


def test_only_matrices_decay(tmp_path):
    decayed, others = fresh(tmp_path).inner.param_groups
    assert decayed["weight_decay"] == CONFIG.train.weight_decay and others["weight_decay"] == 0
    assert all(p.ndim == 2 or p.ndim == 1 for p in decayed["params"])
    model = fresh(tmp_path).model
    for weight in (model.tokens.weight, model.complexity.weight, model.norm.weight):
        assert any(weight.shape == p.shape for p in others["params"])
    count = sum(p.numel() for group in (decayed, others) for p in group["params"])
    assert count == model.parameter_count()


def test_too_little_memory_halves_the_passes(tmp_path, monkeypatch):
    run = fresh(tmp_path, micro_batch=16)
    instances, told = run.pool.batch(0, 16), np.zeros(16, bool)
    expected = run.gradients(instances, told)
    forward, most = Learner.forward, 5

    def small(learner, batch):
        if len(batch) > most:
            raise torch.OutOfMemoryError("out of memory")
        return forward(learner, batch)

    monkeypatch.setattr(Learner, "forward", small)
    run.optimizer.zero_grad()
    torch.testing.assert_close(run.gradients(instances, told), expected)
    assert run.micro_batch == 4
    most = 0
    with pytest.raises(UsageError, match="The memory does not suffice for a 'train.micro_batch' of 1"):
        run.gradients(instances, told)


# -- whole runs


def test_a_run_leaves_a_log_checkpoints_and_the_best_network(finished):
    assert finished.ended == "steps" and finished.steps == 60 and finished.samples == 60 * 16
    assert [row["step"] for row in finished.log] == [20, 40, 60]
    assert finished.last("loss") < finished.log[0]["loss"]
    assert all(math.isfinite(row["validation_loss"]) for row in finished.log)
    for read, row in zip(read_log(finished.out / "log.csv"), finished.log, strict=True):
        assert read == pytest.approx(row, nan_ok=True, rel=1e-6)
    assert [path.name for path in checkpoints(finished.out)] == ["step-00000040", "step-00000060"]
    assert finished.model.config == CONFIG.model
    assert load_config(finished.out / "config").model == CONFIG.model
    assert "60 steps" in repr(finished)
    assert not [name for name in os.listdir(finished.out) if name.startswith(".")]


def test_a_run_that_stops_and_goes_on_has_the_same_losses(finished, tmp_path):
    rows = []
    first = train(configured(), tmp_path, seconds=1e-3, callback=rows.append)
    assert first.ended == "seconds" and first.steps == 1
    for checkpoint_at in (3, 27):
        config = configured(checkpoint_every=checkpoint_at)
        with pytest.raises(Stop):
            train(config, tmp_path, resume=True, callback=stopping(after=20 if checkpoint_at == 3 else 40))
    last = train(configured(), tmp_path, resume=True, callback=quiet)
    assert last.steps == 60
    kept = {step: loss for step, loss in losses(last).items() if step % 20 == 0}
    assert kept == pytest.approx(losses(finished), rel=1e-6)
    for a, b in zip(finished.model.parameters(), last.model.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


class Stop(Exception):
    pass


def stopping(after):
    def tell(row):
        if row["step"] >= after:
            raise Stop

    return tell


SCRIPT = """
import os, signal, sys
from dataclasses import replace
from nbsr.config import load_config
from nbsr.training import train

def end(row):
    if row["step"] == 40:
        os.kill(os.getpid(), signal.SIGKILL)

config = load_config("test")
config = replace(config, train=replace(config.train, threads=1, checkpoint_every=7))
train(config, sys.argv[1], callback=end)
"""


def test_what_is_killed_goes_on_from_its_last_checkpoint_with_the_same_losses(finished, tmp_path):
    killed = subprocess.run([sys.executable, "-c", SCRIPT, tmp_path], timeout=300)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000028", "step-00000035"]
    rows = []
    again = train(configured(), tmp_path, resume=True, callback=rows.append)
    assert [row["step"] for row in rows] == [40, 60]
    assert losses(again) == pytest.approx(losses(finished), rel=1e-6)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_end_leaves_a_checkpoint_of_the_next_step(finished, tmp_path, number):
    before = signal.getsignal(number)
    report = train(configured(), tmp_path, callback=lambda row: os.kill(os.getpid(), number))
    assert (report.ended, report.steps) == ("interrupted", 21)
    assert signal.getsignal(number) is before
    assert checkpoints(tmp_path)[-1].name == "step-00000021"
    again = train(configured(), tmp_path, resume=True, callback=quiet)
    assert losses(again) == pytest.approx(losses(finished), rel=1e-6)


def test_two_processes_have_the_losses_of_one(finished, tmp_path):
    """Each of two processes has half of the batch."""
    report = train(configured(), tmp_path, processes=2, callback=quiet)
    assert losses(report) == pytest.approx(losses(finished), rel=1e-4)
    assert report.last("validation_loss") == pytest.approx(finished.last("validation_loss"), rel=1e-3)


def test_bfloat16_learns_as_well(finished, tmp_path):
    report = train(configured(precision="bf16-mixed"), tmp_path, callback=quiet)
    assert losses(report) == pytest.approx(losses(finished), rel=0.1)
    assert losses(report) != losses(finished)


def test_a_decay_from_the_middle_and_on_from_before_it(finished, tmp_path):
    config = configured(steps=1000)
    train(config, tmp_path, seconds=1e-3, callback=quiet)
    decayed = train(config, tmp_path, resume=True, finish=40, callback=quiet)
    assert decayed.steps == 41 and decayed.ended == "steps"
    assert decayed.log[-1]["learning_rate"] < 0.05 * CONFIG.train.learning_rate
    assert decayed.log[-1]["learning_rate"] > 0
    with pytest.raises(Stop):
        train(config, tmp_path, resume=True, callback=stopping(after=20))
    assert read_log(tmp_path / "log.csv")[-1]["learning_rate"] == CONFIG.train.learning_rate


def test_the_average_of_the_weights_is_what_is_validated_and_kept(tmp_path):
    report = train(configured(average=0.9, steps=20), tmp_path, callback=quiet)
    last = models.load(checkpoints(tmp_path)[-1])
    pairs = list(zip(last.parameters(), report.model.parameters()))
    assert any(not torch.equal(a, b) for a, b in pairs)
    run = fresh(tmp_path, average=0.9)
    run.resume(checkpoints(tmp_path)[-1])
    for mean, kept in zip(run.average, report.model.parameters()):
        torch.testing.assert_close(mean, kept)


# -- bad ends


def test_a_loss_that_is_no_number_stops_and_keeps_what_was_good(tmp_path, monkeypatch):
    train(configured(steps=20), tmp_path, callback=quiet)
    good = checkpoints(tmp_path)
    update = Run.update

    def poisoned(run, instances, told):
        if run.state.step == 25:
            with torch.no_grad():
                next(run.model.parameters()).fill_(torch.nan)
        update(run, instances, told)

    monkeypatch.setattr(Run, "update", poisoned)
    with pytest.raises(UsageError, match="not a finite number in 10 steps in a row, up to step 35"):
        train(configured(checkpoint_every=1), tmp_path, resume=True, callback=quiet)
    monkeypatch.undo()
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000024", "step-00000025"]
    assert good
    for path in (*checkpoints(tmp_path), tmp_path / "best"):
        assert all(torch.isfinite(weight).all() for weight in models.load(path).parameters())


def test_a_damaged_checkpoint_is_passed_over(finished, tmp_path):
    train(configured(checkpoint_every=10, steps=20), tmp_path, callback=quiet)
    file = checkpoints(tmp_path)[-1] / "training.pt"
    file.write_bytes(file.read_bytes()[:1000])
    report = train(configured(), tmp_path, resume=True, steps=20, callback=quiet)
    assert report.steps == 20
    for path in checkpoints(tmp_path):
        (path / "training.pt").write_bytes(b"")
    with pytest.raises(UsageError, match=r"training.pt' is damaged"):
        train(configured(), tmp_path, resume=True, callback=quiet)


def test_a_checkpoint_of_another_network_is_refused(finished):
    other = replace(configured(), model=replace(CONFIG.model, width=16))
    with pytest.raises(UsageError, match="they belong to different networks"):
        train(other, finished.out, resume=True, callback=quiet)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"device": "cuda:7"}, "The device is 'cuda:7', but this machine"),
        ({"device": "gpu"}, "There is no device 'gpu'"),
        ({"steps": 0}, "'steps' is 0"),
        ({"finish": 0}, "'finish' is 0"),
        ({"processes": 3}, "'train.pieces' is 2, which 3 processes cannot share out evenly"),
        ({"value": True}, "There is no trained network"),
        ({"processes": 2, "callback": lambda row: None}, "'callback' cannot be handed to several processes"),
    ],
)
def test_what_cannot_be_done(tmp_path, options, says):
    with pytest.raises(UsageError, match=says):
        train(configured(), tmp_path, **{"callback": quiet, **options})


def test_a_run_is_not_begun_over_another(finished):
    with pytest.raises(UsageError, match="holds a run already; resume it"):
        train(configured(), finished.out, callback=quiet)


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        train(configured(), tmp_path / "file" / "run", callback=quiet)


# -- what is measured


def test_decoded_laws_are_complete_and_use_the_columns_that_are_there(tmp_path):
    run = fresh(tmp_path)
    instances = trimmed(run.pool.batch(0, 16))
    batch = batch_of(instances, run.model, np.zeros(16, bool))
    own, laws = proposals(run.model, batch, 8, 0, run.fabric.autocast)
    assert own.shape == laws.shape == (16, 8, CONFIG.model.max_length)
    vocabulary = run.model.vocabulary
    for columns, some in zip(instances.columns, laws):
        for law in some:
            tokens = law[law != 0]
            nbsr.Expression(tuple(tokens.tolist()), (1.0,) * int((tokens == 1).sum()), vocabulary)
            used = tokens[tokens >= vocabulary.first_variable] - vocabulary.first_variable
            assert columns[used].all()
    again = proposals(run.model, batch, 8, 0, run.fabric.autocast)[1]
    np.testing.assert_array_equal(again, laws)
    assert (proposals(run.model, batch, 8, 1, run.fabric.autocast)[1] != laws)[:, 1:].any()
    with at_rest(run.model):
        told = decode(run.model, batch, 1, torch.Generator().manual_seed(3))
    np.testing.assert_array_equal(told[:, 0], own[:, 0])  # the first of each table is not drawn


def test_an_instance_is_solved_when_its_law_is_among_the_proposals(tmp_path, monkeypatch):
    run = fresh(tmp_path)
    instances = run.pool.batch(0, 8)
    truths = np.zeros((8, 1, CONFIG.model.max_length), np.int64)
    truths[:, 0, : instances.tokens.shape[1]] = instances.tokens[:, : CONFIG.model.max_length]
    right, config = truths.copy(), replace(CONFIG.evaluation, solve=8, samples=1)
    right[4:, 0] = 0
    right[4:, 0, 0] = 1  # a constant explains nothing
    measure = importlib.import_module("nbsr.training.measure")
    monkeypatch.setattr(measure, "proposals", lambda *_: (None, right))
    assert solved(run.model, instances, config, 0, run.fabric.autocast) == 0.5


def test_rewards_are_decades_of_the_unexplained():
    fvu = np.array([0.0, 1e-9, 1e-8, 1e-4, 1.0, 5.0, np.inf, np.nan])
    np.testing.assert_allclose(reward(fvu), [1, 1, 1, 0.5, 0, 0, 0, 0])


def test_a_prefix_is_worth_the_best_law_that_begins_so():
    laws = np.array([[3, 1, 5, 0], [3, 1, 6, 0], [4, 5, 0, 0], [3, 1, 5, 0]])
    targets, new = best_by_prefix(laws, np.array([0.2, 0.7, 0.1, 0.3]))
    expected = [[0.7, 0.7, 0.7, 0.3], [0.7, 0.7, 0.7, 0.7], [0.7, 0.1, 0.1, 0.1], [0.7, 0.7, 0.7, 0.3]]
    np.testing.assert_allclose(targets, expected)
    # the empty prefix, 3, 3 1; then 4; what came before or is padding counts no more
    assert new.tolist() == [[True, True, True, False], [False] * 4, [False, True, False, False], [False] * 4]


def test_the_value_head_learns_and_nothing_else_changes(finished):
    before = models.load(finished.out / "best")
    report = train(configured(), finished.out, value=True, steps=40, callback=quiet)
    assert report.out == finished.out / "value"
    after = report.model
    assert after.value_trained and not before.value_trained
    for (name, a), b in zip(before.named_parameters(), after.parameters()):
        assert torch.equal(a, b) == (not name.startswith("judge")), name
    assert report.log[-1]["loss"] < report.log[0]["loss"]
    assert report.log[-1]["validation_loss"] < report.log[0]["validation_loss"]


# -- the command and the log


def test_the_command_trains_and_resumes(tmp_path, capsys):
    command = ["train", "test", "--out", str(tmp_path), "--threads", "1", "--resume"]
    assert main([*command, "--steps", "20"]) == 0
    assert "20 steps" in capsys.readouterr().out
    assert main([*command, "--steps", "25"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("step 25/25") and "validation" in printed
    assert main(["train", "tset", "--out", str(tmp_path)]) == 2
    assert "Did you mean 'test'?" in capsys.readouterr().err


def test_a_log_that_was_cut_off_is_read_up_to_there(tmp_path, finished):
    file = tmp_path / "log.csv"
    text = (finished.out / "log.csv").read_text()
    file.write_text(text.rstrip()[:-40])
    assert [row["step"] for row in read_log(file)] == [20, 40]
    with file.open() as stream:
        assert next(csv.reader(stream)) == list(COLUMNS)


def test_the_losses_are_drawn_and_drawn_anew(finished, shell, monkeypatch):
    picture = finished.plot()
    assert picture.png().startswith(b"\x89PNG") and "validation" in picture.svg()
    assert repr(picture).startswith("step 60/60")
    assert not in_notebook()
    monkeypatch.setenv("NBSR_WIDGETS", "0")
    monkeypatch.setattr(importlib.import_module("nbsr.training.plot"), "EVERY", 0.0)
    rows = []  # as at the beginning of a run
    with capture_output() as captured:
        tell = live(60, rows)
        rows.extend(finished.log[:2])
        tell(rows[-1])
    first, second = captured.outputs
    assert (first.update, second.update) == (False, True)
    assert "image/svg+xml" in second.data and "step 40/60" in second.data["text/plain"]
    monkeypatch.setattr(shell, "kernel", object(), raising=False)
    assert in_notebook()


def test_the_losses_are_told_to_a_page_and_a_plot_takes_their_place(finished):
    rows = []
    with capture_output() as captured:
        picture = live(60, rows)
        view = picture._view
        said = []
        view.send = lambda content, buffers=None: said.append((content, buffers))
        rows.extend(finished.log)
        picture(rows[-1])
        view._hear({"kind": "hello"})
        picture.end()
    first, last = captured.outputs
    assert "application/vnd.jupyter.widget-view+json" in first.data
    assert last.update and "image/svg+xml" in last.data and "widget" not in " ".join(last.data)
    assert view.comm is None and not view._thread.is_alive()
    message, buffers = said[-1]
    steps = np.frombuffer(buffers[message["steps"]["data"]], "<f4")
    assert message["kind"] == "train" and message["note"].startswith("step 60/60")
    assert steps.tolist() == [row["step"] for row in finished.log]


@pytest.mark.parametrize(("count", "every"), [(0, 1), (1, 1), (399, 5), (5000, 1), (5000, 7), (100_000, 50)])
def test_few_losses_are_told_of_many_and_the_last_always(count, every):
    rows = [
        {
            **dict.fromkeys(COLUMNS, 1.0),
            "step": 20.0 * i,
            "validation_loss": 1.0 if i % every == 0 else math.nan,
        }
        for i in range(count)
    ]
    told = losses_of(rows, 20 * count)
    assert len(told.steps) <= 801
    assert not count or told.steps[-1] == rows[-1]["step"]
    assert (np.diff(told.steps) >= 0).all()
