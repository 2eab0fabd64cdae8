"""Configurations: what a bundle may look like, and what is said of one that is wrong."""

import dataclasses

import pytest

from nbsr.config import SHIPPED, Config, TrainConfig, load_config, save_config
from nbsr.errors import UsageError
from nbsr.model import ModelConfig

TEST = (SHIPPED / "test" / "train.yaml").read_text(encoding="utf-8")


def bundle(directory, text):
    file = directory / "small.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def changed(old, new):
    assert old in TEST
    return TEST.replace(old, new, 1)


@pytest.mark.parametrize("name", sorted(p.name for p in SHIPPED.iterdir()))
def test_what_is_shipped_can_be_loaded_and_saved(name, tmp_path):
    config = load_config(name)
    assert isinstance(config, Config)
    assert config.model.operators == config.tokenizer.operators
    assert load_config(save_config(config, tmp_path / "copy")) == config
    assert load_config(tmp_path / "copy") == config


def test_sections_in_files_of_their_own_are_the_same_as_sections_in_place(tmp_path, monkeypatch):
    (tmp_path / "inner").mkdir()
    sections = {"model": "width: 8\nheads: 2\n", "tokenizer": 'variables: 1\noperators: ["+"]\n'}
    for name, text in sections.items():
        (tmp_path / "inner" / f"{name}.yaml").write_text(text)
    rest = 'prior: {operators: {"+": 1}, variable_counts: {1: 1}}\n'
    apart = bundle(tmp_path, "model: inner/model.yaml\ntokenizer: inner/tokenizer.yaml\n" + rest)
    together = tmp_path / "together.yaml"
    together.write_text(
        'model: {width: 8, heads: 2}\ntokenizer: {variables: 1, operators: ["+"]}\n' + rest, encoding="utf-8"
    )
    assert load_config(apart) == load_config(together)
    assert load_config(apart).model == ModelConfig(1, ("+",), 8, 2)
    with pytest.raises(UsageError, match="no file"):  # looked for in the current directory
        load_config(apart, resolve_paths=False)
    monkeypatch.chdir(tmp_path)
    assert load_config(apart, resolve_paths=False) == load_config(together)


def test_numbers_that_yaml_takes_for_texts(tmp_path):
    text = changed("learning_rate: 3e-3", "learning_rate: 1e-4").replace("steps: 60", "steps: 1e5")
    train = load_config(bundle(tmp_path, text)).train
    assert train.learning_rate == 1e-4
    assert train.steps == 100_000 and isinstance(train.steps, int)


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_config("test").train.steps = 3  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            changed("learning_rate:", "learning_rat:"),
            "In small.yaml, 'train.learning_rat' is not a setting. Did you mean 'learning_rate'?",
        ),
        (changed("model:", "modle:"), "'modle' is not a setting. Did you mean 'model'?"),
        (changed("width: 32", "breadth: 32"), "'model.breadth' is not a setting. The settings here are var"),
        (changed("width: 32", "width: wide"), "'model.width' is 'wide'; expected a whole number"),
        (changed("width: 32", "width: 32.5"), "'model.width' is 32.5; expected a whole number"),
        (changed("width: 32", "width: true"), "'model.width' is True; expected a whole number"),
        (changed("width: 32", "width:"), "'model.width' is None; expected a whole number"),
        (changed("width: 32", "width: 30\n  heads: 4"), "'heads' is there twice"),
        (changed("width: 32", "width: 31"), "In small.yaml, 'model': A width of 31"),
        (changed("steps: 60", "steps: 0"), "In small.yaml, 'train': 'steps' is 0; give at least 1"),
        (changed("decay: 0.5", "decay: 50"), "'decay' is 50.0; give a share from 0 to 1"),
        (changed("decay: 0.5", "decay: .nan"), "'train.decay' is nan; expected a finite number"),
        (changed("decay: 0.5", "decay: half"), "'train.decay' is 'half'; expected a number"),
        (changed("decay: 0.5", "decay: [0.5]"), "'train.decay' is [0.5]; expected a number"),
        (
            changed("decay: 0.5", "schedule: cosin"),
            "expected 'trapezoid' or 'cosine' or 'linear'. Did you mean",
        ),
        (changed("batch: 16", "batch: 15"), "'batch' is 15 and 'pieces' 2"),
        (changed("variables: 2", "variables: two"), "'tokenizer.variables' is 'two'"),
        (changed("variables: 2", "variables: 0"), "'variables' is 0"),
        (changed('"*", sin]', '"*", sine]'), "there is no operator 'sine'. Did you mean 'sin'?"),
        (changed('"*", sin]', '"*", sin, sin]'), "'sin' is there twice"),
        (changed('["+", "*", sin]', "plus"), "'tokenizer.operators' is 'plus'; expected a list"),
        (changed('["+", "*", sin]', "[1]"), "'tokenizer.operators[0]' is 1; expected a text"),
        (changed("width: 32", "variables: 3"), "'tokenizer.variables' is 2 and 'model.variables' is 3"),
        (changed("width: 32", "operators: [sin]"), "'model.operators' is ['sin']"),
        (changed('{"+": 2, "*": 2, sin: 1}', '{"+": 2, cos: 1}'), "'prior.operators' has 'cos'"),
        (changed('{"+": 2, "*": 2, sin: 1}', '{"+": heavy}'), "'prior.operators.+' is 'heavy'"),
        (changed("shard: 32", "shard: -1"), "In small.yaml, 'prior': prior.shard is -1"),
        (changed("operators: [", "operators: {").replace("sin]", "sin}"), "expected a list"),
        ("model: [1\n", "In small.yaml, line 2: this is not YAML"),
        ("- 1\n- 2\n", "expected lines 'key: value'"),
        ("model: missing.yaml\n", "There is no file"),
        ("tokenizer: {variables: 1, operators: [sin]}\n", "'model' is missing"),
        ("model: 3\n", "'model' is 3; expected keys with values"),
        ("", "'model' is missing"),
        ("? [1, 2]\n: 3\n", "this is not YAML"),
    ],
)
def test_what_is_wrong_is_named(text, says, tmp_path):
    with pytest.raises(UsageError) as slip:
        load_config(bundle(tmp_path, text))
    assert says in slip.value.message
    assert "\n" not in slip.value.message


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "train.yaml").write_bytes(b"\xff\xfe\x00model")
    with pytest.raises(UsageError, match="not a text file"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("name", "says"), [("bsae", "Did you mean 'base'?"), ("no/such/thing.yaml", "shipped are base")]
)
def test_a_name_that_is_not_there(name, says):
    with pytest.raises(UsageError, match="There is no file, directory or shipped") as slip:
        load_config(name)
    assert says in slip.value.message


def test_a_directory_without_a_bundle(tmp_path):
    with pytest.raises(UsageError, match="holds no train.yaml"):
        load_config(tmp_path)


def test_defaults_are_valid():
    assert TrainConfig().steps > 0
