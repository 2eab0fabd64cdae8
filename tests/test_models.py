"""Networks as directories: what is saved is loaded, and a directory that is not right is told so in one sentence."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
import yaml

import nbsr
from nbsr import models
from nbsr.config import load_config
from nbsr.errors import UsageError
from nbsr.model import Model


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Model(load_config("test").model)


@pytest.fixture
def saved(model, tmp_path):
    return models.save(model, tmp_path / "net", samples=5, description="a test")


def rewrite(directory, name, **changes):
    content = yaml.safe_load((directory / name).read_text())
    (directory / name).write_text(yaml.safe_dump(content | changes))


def weights(directory):
    return torch.load(directory / models.WEIGHTS, weights_only=True)


def test_what_is_saved_is_loaded(model, saved):
    before = torch.random.get_rng_state()
    loaded = models.load(saved)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert loaded.config == model.config and not loaded.training
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight)
    assert not loaded.value_trained
    model.value_trained = True
    assert models.load(models.save(model, saved)).value_trained
    assert nbsr.models.load(str(saved), device="cpu").config == model.config


def test_half_precision_is_half_as_large_and_loads_as_single(model, saved, tmp_path):
    half = models.save(model, tmp_path / "half", half=True)
    sizes = [sum(w.numel() * w.element_size() for w in weights(place).values()) for place in (saved, half)]
    assert sizes[1] * 2 == sizes[0]
    for name, weight in models.load(half).state_dict().items():
        assert weight.dtype == torch.float32
        torch.testing.assert_close(weight, model.state_dict()[name], rtol=1e-3, atol=1e-6)


def test_saving_again_replaces(model, saved):
    (saved / "card.md").write_text("old")
    models.save(model, saved, samples=6)
    assert sorted(os.listdir(saved)) == sorted([models.MODEL, models.TOKENIZER, models.WEIGHTS])
    assert yaml.safe_load((saved / models.MODEL).read_text())["samples"] == 6
    assert os.listdir(saved.parent) == ["net"]


def test_a_failure_while_saving_leaves_the_old_directory(model, saved):
    broken = Model(model.config)
    with torch.no_grad():
        next(broken.parameters())[0] = torch.nan
    with pytest.raises(UsageError, match="not finite"):
        models.save(broken, saved)
    assert os.listdir(saved.parent) == ["net"]
    assert models.load(saved).config == model.config


def test_an_end_in_the_middle_of_saving_is_put_right(model, saved):
    saved.rename(saved.with_name(".net.old"))
    (saved.parent / ".net.draft").mkdir()
    models.settle(saved)
    assert os.listdir(saved.parent) == ["net"]
    assert models.load(saved).config == model.config


def test_a_place_that_cannot_be_written(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file; give a directory"):
        models.save(model, tmp_path / "file")
    with pytest.raises(UsageError, match="cannot be written"):
        models.save(model, tmp_path / "file" / "net")


@pytest.mark.parametrize("missing", [models.MODEL, models.TOKENIZER, models.WEIGHTS])
def test_a_file_that_is_missing(saved, missing):
    (saved / missing).unlink()
    with pytest.raises(UsageError, match=f"holds no {missing}"):
        models.load(saved)


def test_a_run_is_no_network_but_holds_one(saved):
    saved.rename(saved.parent / "best")
    with pytest.raises(UsageError, match="Did you mean .*best'"):
        models.load(saved.parent)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("basee", "There is no network or directory 'basee'"),
        ("no/such/place", "There is no network or directory"),
    ],
)
def test_a_name_that_is_not_there(name, says):
    with pytest.raises(UsageError, match=says):
        models.load(name)


def test_a_file_is_no_directory(saved):
    with pytest.raises(UsageError, match="is a file; give the directory"):
        models.load(saved / models.MODEL)


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99, 0.9999])
def test_weights_that_were_cut_off(saved, keep):
    file = saved / models.WEIGHTS
    content = file.read_bytes()
    file.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(UsageError, match="is damaged or no file of weights"):
        models.load(saved)


@pytest.mark.parametrize("content", [b"not weights at all", b"PK\x03\x04 nor these", b"\x80\x04K\x01."])
def test_weights_that_are_something_else(saved, content):
    (saved / models.WEIGHTS).write_bytes(content)
    with pytest.raises(UsageError, match="weights"):
        models.load(saved)


class Harmful:
    def __reduce__(self):
        return os.system, ("false",)


def test_weights_run_no_code(saved):
    torch.save({"w": Harmful()}, saved / models.WEIGHTS)
    with pytest.raises(UsageError, match="is damaged or no file of weights"):
        models.load(saved)


def lack(state):
    del state["norm.weight"]


def add(state):
    state["foreign.weight"] = torch.zeros(1)


def reshape(state):
    state["norm.weight"] = torch.zeros(3)


def infinite(state):
    state["norm.weight"][0] = torch.inf


def whole(state):
    state["norm.weight"] = state["norm.weight"].long()


def words(state):
    state["norm.weight"] = "heavy"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lack, "it lacks 'norm.weight'"),
        (add, "it has a foreign 'foreign.weight'"),
        (reshape, r"'norm.weight' has the shape \(3,\) and \(32,\) is expected"),
        (infinite, "'norm.weight' holds something else than finite numbers"),
        (whole, "'norm.weight' holds something else than finite numbers"),
        (words, "something else than weights by name"),
    ],
)
def test_weights_of_another_network(saved, change, says):
    state = weights(saved)
    change(state)
    torch.save(state, saved / models.WEIGHTS)
    with pytest.raises(UsageError, match=says):
        models.load(saved)


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        (models.MODEL, {"format": 2}, "has format 2, .* which reads up to 1; install a newer nbsr"),
        (models.MODEL, {"format": "one"}, "does not say its format"),
        (models.MODEL, {"format": None}, "does not say its format"),
        (models.MODEL, {"model": {"width": "wide"}}, "'model.width' is 'wide'; expected a whole number"),
        (models.MODEL, {"model": {"breadth": 3}}, "'model.breadth' is not a setting"),
        (models.MODEL, {"model": [1]}, r"'model' is \[1\]; expected keys with values"),
        (models.MODEL, {"model": {"operators": ["sine"]}}, "writes the operator 'sine', which is not known"),
        (models.MODEL, {"model": {"heads": 0}}, "'heads' is 0; give at least 1"),
        (models.TOKENIZER, {"tokens": "pad"}, "'tokens' is not a list of texts"),
        (models.TOKENIZER, {"tokens": [1, 2]}, "'tokens' is not a list of texts"),
        (models.TOKENIZER, {"tokens": ["pad"]}, "it lists 1 tokens and the network has 8"),
        (
            models.TOKENIZER,
            {"tokens": ["pad", "const", "+", "*", "cos", "x1", "x2", "begin"]},
            "token 4 is 'cos' there and 'sin' in the network; it belongs to another one",
        ),
    ],
)
def test_descriptions_that_do_not_fit(saved, name, changes, says):
    rewrite(saved, name, **changes)
    with pytest.raises(UsageError, match=says) as slip:
        models.load(saved)
    assert "\n" not in slip.value.message


def test_a_description_that_is_no_yaml(saved):
    (saved / models.MODEL).write_text("format: [1")
    with pytest.raises(UsageError, match="this is not YAML"):
        models.load(saved)


@pytest.mark.parametrize(
    ("device", "says"),
    [
        pytest.param(
            "cuda",
            "no graphics card that torch can use",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
        ("cuda:99", "The device is 'cuda:99', but this machine has"),
        ("gpu", "There is no device 'gpu'"),
        ("xpu", "which this machine does not have"),
    ],
)
def test_a_device_that_is_not_there(saved, device, says):
    with pytest.raises(UsageError, match=says):
        models.load(saved, device)


def test_loading_leaves_the_compiler_of_torch_alone(saved):
    """It takes longer to import than all the rest of loading."""
    script = f"import sys; from nbsr import models; models.load({str(saved)!r}); print('torch._dynamo' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def test_the_list_needs_no_torch_and_every_network_in_it_loads():
    script = "import nbsr, sys; print(list(nbsr.models.list().columns)); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    columns = ["name", "parameters", "megabytes", "samples", "description"]
    assert run.stdout.splitlines() == [str(columns), "False"]
    for row in models.list().itertuples():
        loaded = models.load(row.name)
        assert loaded.parameter_count() == row.parameters


def test_the_list_reads_what_was_saved(saved, monkeypatch, model):
    monkeypatch.setattr(models, "SHIPPED", saved.parent)
    (row,) = models.list().itertuples(index=False)
    assert (row.name, row.parameters, row.samples) == ("net", model.parameter_count(), 5)
    assert row.description == "a test"
    assert models.load("net").config == model.config
    with pytest.raises(UsageError, match="come with nbsr are net. Did you mean 'net'?"):
        models.load("nett")


def test_a_copy_elsewhere_is_the_same_network(model, saved, tmp_path):
    shutil.copytree(saved, tmp_path / "elsewhere")
    assert models.load(tmp_path / "elsewhere").config == model.config
