"""The panel of `nbsr.workbench`: its controls and the cell that it writes say the same, whatever is in the table."""

import time

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

import nbsr
from nbsr import UsageError
from nbsr.engine import METHODS
from nbsr.notebook.grammar import KEYS, MAGIC, OPTIONS, parse_body, parse_command
from nbsr.notebook.magic import magics_of
from nbsr.notebook.panels.cell import formula, word
from nbsr.notebook.panels.columns import looked_at
from nbsr.notebook.panels.controls import OPERATOR_GROUPS, ROWS_AT_ONCE
from nbsr.notebook.panels.shared import bars, dots, escaped, plain
from nbsr.notebook.panels.workbench import Workbench
from nbsr.notebook.task import Scope, Task, read
from nbsr.operators import OPERATORS, resolve
from nbsr.table import TRANSFORMS, Table, parse_formula
from nbsr.table.frame import Frame, name_of

PATIENCE = 120
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(RNG.uniform(0.5, 3, (60, 3)), columns=["mass", "speed", "angle of view"])
FRAME["kind"] = "text"
FRAME["energy"] = FRAME.mass * FRAME.speed**2
HOSTILE = [
    "$x$",
    "<script>alert(1)</script>",
    "a;b",
    "{n}",
    "`q",
    "# 1",
    "a: b",
    "x ~ y",
    "<<",
    "-id",
    "\\(z\\)",
    "é\u2028",
    "",
]


@pytest.fixture(name="shell")
def with_the_table(shell: InteractiveShell) -> InteractiveShell:
    """A shell that knows the table as `frame`, and nothing else."""
    shell.user_ns["frame"] = FRAME
    return shell


def read_back(text: str, names: dict[str, object]) -> Task:
    """A cell as the magic takes it."""
    line, _, body = text.partition("\n")
    assert line.startswith(f"{MAGIC} ")
    return read(parse_command(line.removeprefix(MAGIC).strip()), parse_body(body), Scope(dict(names)))


# ---- controls and cell


def test_what_a_panel_says_at_first(shell):
    panel = nbsr.workbench(FRAME)
    assert panel.text == (
        "%%regress frame --seconds 10 -o law\nenergy ~ mass + speed + `angle of view`\nmax_complexity: 30"
    )
    assert not panel.problem and not panel.run_button.disabled
    assert panel.result is None


@pytest.mark.parametrize(
    ("given", "target", "transform", "inputs"),
    [
        ("energy ~ mass + speed", "energy", "", ("mass", "speed")),
        ("log(mass) ~ .", "mass", "log", ("speed", "angle of view", "energy")),
        ("speed ~ . - energy - kind", "speed", "", ("mass", "angle of view")),
        ("1/`angle of view` ~ mass", "angle of view", "inv", ("mass",)),
    ],
)
def test_a_formula_sets_target_and_inputs(given, target, transform, inputs, shell):
    panel = nbsr.workbench(FRAME, given)
    assert (panel.target.value, panel.transform.value, panel.inputs.value) == (target, transform, inputs)
    task = read_back(panel.text, shell.user_ns)
    parsed = parse_formula(task.formula, list(FRAME))
    assert (parsed.target, parsed.transform or "", parsed.inputs) == (target, transform, inputs)


def test_a_target_that_gives_way_becomes_an_input(shell):
    panel = nbsr.workbench(FRAME)
    panel.target.value = "mass"
    assert panel.inputs.value == ("speed", "angle of view", "energy")
    panel.weights.value = "speed"
    assert panel.inputs.value == ("angle of view", "energy")


OPERATOR_NAMES = [name for names in OPERATOR_GROUPS.values() for name in names]


@settings(max_examples=40)
@given(data=st.data())
def test_the_cell_says_what_the_controls_say(data):
    labels = data.draw(
        st.lists(st.text() | st.sampled_from(HOSTILE), min_size=2, max_size=20, unique_by=name_of)
    )
    frame = pd.DataFrame(
        np.arange(5.0 * len(labels)).reshape(5, -1) ** 1.5, columns=pd.Index(labels, dtype=object)
    )
    names = [name_of(label) for label in labels]
    shell = InteractiveShell.instance()
    shell.user_ns["frame"] = frame
    try:
        panel = nbsr.workbench(frame)
        draw = lambda values: data.draw(st.sampled_from(values))  # noqa: E731
        panel.target.value = target = draw(names)
        panel.weights.value = weights = draw(["", *names])
        panel.transform.value = transform = draw(["", *TRANSFORMS])
        panel.inputs.value = wished = data.draw(st.sets(st.sampled_from(names)))
        panel.operators.value = operators = data.draw(st.none() | st.sets(st.sampled_from(OPERATOR_NAMES)))
        panel.max_complexity.value = complexity = data.draw(st.integers(1, 100))
        panel.method.value = method = draw(list(METHODS))
        panel.model.value = model = draw(["", "none"])
        panel.seconds.value = seconds = data.draw(st.floats(0.1, 1e5))
        panel.test.value = share = draw([0, 10, 20])
        panel.more["--seed"].value = seed = draw(["", "7"])
        panel.more["forbid"].value = forbid = draw(["", "sin(exp(?))", "sin, cos"])
        inputs = tuple(n for n in names if n in wished and n not in (target, weights))
        assert panel.inputs.value == inputs
        if not inputs or operators == set():
            assert panel.problem.startswith("Tick at least one ") and panel.run_button.disabled
            return
        task = read_back(panel.text, {"frame": frame})
        said = parse_formula(task.formula, names, (weights,) if weights else ())
        assert (said.target, said.transform or "", said.inputs) == (target, transform, inputs)
        assert task.data is frame and task.weights == (weights or None) and task.name == "law"
        expected = {
            "seconds": float(f"{seconds:.12g}"),
            "max_complexity": complexity,
            **({} if method == "auto" else {"method": method}),
            **({} if not model else {"model": model}),
            **({} if operators is None else {"operators": tuple(n for n in OPERATORS if n in operators)}),
            **({"seed": 7} if seed else {}),
            **({"forbid": tuple(forbid.split(", "))} if forbid else {}),
        }
        assert task.settings == expected
        assert task.test == (share / 100 if share else None)
    finally:
        del shell.user_ns["frame"]


def test_every_operator_is_written_by_a_word_that_means_it():
    assert {resolve(word(name)) for name in OPERATOR_NAMES} == set(OPERATOR_NAMES)
    assert [word(name) for name in ("pow1_2", "pow2", "pow", "+")] == ["sqrt", "square", "pow", "+"]


def test_all_that_the_grammar_knows_has_a_control(shell):
    panel = nbsr.workbench(FRAME)
    own = {"operators", "max_complexity", "weights", "test", "data"}
    assert {*panel.more} >= {*KEYS} - own
    assert {*OPTIONS} - {*panel.more} == {
        "--seconds", "--method", "--model", "--device", "--out", "--background", "--help",
    }  # fmt: skip


@settings(max_examples=60)
@given(
    names=st.lists(st.text(min_size=1).map(name_of), min_size=3, max_size=40, unique=True),
    chosen=st.sets(st.integers(1, 39)),
    certain=st.sets(st.integers(1, 39)),
)
def test_a_formula_with_a_dot_means_the_same(names, chosen, certain):
    inputs = [name for i, name in enumerate(names) if i in chosen and i]
    if inputs:
        sure = [name for i, name in enumerate(names) if i in certain]
        text = formula(names[0], "", inputs, names, sure).replace("{{", "{").replace("}}", "}")
        parsed = parse_formula(text, names)
        assert set(parsed.inputs) == set(inputs)
        assert not parsed.by_dot & set(sure)


def test_a_slip_in_a_field_is_told_and_nothing_runs(shell):
    panel = nbsr.workbench(FRAME)
    panel.out.value = "my law"
    assert "Python name" in panel.problem or "unexpected" in panel.problem
    assert panel.run_button.disabled
    with pytest.raises(UsageError):
        panel.run()
    panel.out.value = "law"
    panel.more["--choices"].value = "many"
    assert "whole number" in panel.problem
    panel.more["--choices"].value = ""
    panel.method.value, panel.model.value = "beam", "none"
    assert "asks a network" in panel.problem
    panel.model.value = ""
    assert not panel.problem


def test_groups_of_operators_are_ticked_together(shell):
    panel = nbsr.workbench(FRAME)
    assert panel.operators.value is None and "operators" not in panel.text
    panel.operators.which.value = panel.operators.CHOSEN
    assert "operators: + - * /\n" in panel.text
    panel.operators.groups["exp and log"].value = True
    assert panel.operators.value == ("+", "-", "*", "/", "exp", "log")
    panel.operators.single["log"].value = False
    assert not panel.operators.groups["exp and log"].value
    assert "operators: + - * / exp\n" in panel.text


def test_the_panel_judges_rows_as_a_table_does(shell):
    frame = FRAME.assign(mass=FRAME.mass.where(FRAME.index > 9), flat=1.0)
    shell.user_ns["holes"] = frame
    panel = nbsr.workbench(frame, "energy ~ mass + speed + flat")
    table = Table.from_frame(frame, "energy ~ mass + speed + flat")
    assert "50 of 60 rows are used" in panel._verdict.value and len(table) == 50
    for note in table.notes:
        assert escaped(note) in panel._verdict.value
    column = panel._columns["mass"]
    assert (column.missing, column.rows) == (10, 60)
    assert panel._columns["flat"].facts == "always 1"
    assert panel._columns["kind"].refusal and not panel._columns["kind"].usable


def test_text_of_a_few_values_is_an_input_and_no_target(shell):
    frame = FRAME.assign(sex=["female", "male", None] * 20)
    shell.user_ns["sexes"] = frame
    panel = nbsr.workbench(frame)
    column = panel._columns["sex"]
    assert column.usable and not column.numeric
    assert column.facts == "text of 2 values: female, male · 20 missing" and column.histogram()
    assert "sex" in panel.inputs.value and "sex" not in [name for _, name in panel.target.options]
    panel = nbsr.workbench(frame, "energy ~ mass + sex")
    task = read_back(panel.text, {"sexes": frame})
    table = Table.from_frame(frame, task.formula)
    assert table.names == ("mass", "sex_male") and len(table) == 40
    for note in table.notes:
        assert escaped(note) in panel._verdict.value
    with pytest.raises(UsageError, match="holds text"):
        nbsr.workbench(frame, "sex ~ mass")


# ---- running


def ended(panel: Workbench) -> None:
    assert panel.job is not None and panel.job.done.wait(PATIENCE)
    end = time.monotonic() + PATIENCE
    while panel.run_button.disabled:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_run_is_the_cell_and_its_result_has_its_name(shell):
    panel = nbsr.workbench(FRAME, "energy ~ mass + speed")
    panel.method.value, panel.out.value, panel.seconds.value = "pairs", "found", 100
    panel.more["--max-evaluations"].value = "300"
    panel.more["--seed"].value = "3"
    panel.run()
    ended(panel)
    assert panel.result is not None and shell.user_ns["found"] is panel.result
    same = shell.run_cell(panel.text)
    assert same.success
    ours, typed = panel.result, same.result
    assert [str(c.expression) for c in ours.front_candidates] == [
        str(c.expression) for c in typed.front_candidates
    ]
    assert ours.settings == typed.settings
    magics = magics_of(shell)
    assert magics is not None and panel.job in magics.jobs


def test_a_search_is_stopped_from_its_job_and_another_can_follow(shell):
    panel = nbsr.workbench(FRAME, "energy ~ mass")
    panel.seconds.value = 600
    job = panel.run()
    with pytest.raises(UsageError, match="still running"):
        panel.run()
    job.stop()
    ended(panel)
    panel.seconds.value = 0.2
    panel.run()
    ended(panel)
    assert panel.result is not None


def test_what_only_the_search_refuses_is_told_in_the_panel(shell):
    panel = nbsr.workbench(FRAME, "energy ~ mass")
    panel.more["forbid"].value = "mass"
    panel.run()
    ended(panel)
    assert "forbidden" in panel._said.value


# ---- the name of the table


def test_a_table_without_a_name_is_searched_and_can_be_given_one(shell):
    shell.user_ns["df"] = 3
    panel = nbsr.workbench(FRAME.copy(), "energy ~ mass + speed")
    assert panel.text.startswith("%%regress df1 ") and panel._nameless.children and not panel.problem
    panel.method.value = "pairs"
    panel.more["--max-evaluations"].value = "100"
    panel.run()
    ended(panel)
    assert panel.result is not None and "df1" not in shell.user_ns
    panel.name.value = "frame"
    panel._give_name.click()
    assert "means something else" in panel._said.value and shell.user_ns["frame"] is FRAME
    panel.name.value = "measured"
    panel._give_name.click()
    assert shell.user_ns["measured"] is panel.frame and not panel._nameless.children
    assert panel.text.startswith("%%regress measured ")


# ---- tables of every kind


@pytest.mark.parametrize(
    ("given", "formula", "said"),
    [
        ([1, 2], None, "A DataFrame of pandas or polars is expected, not a list"),
        ({"x": [1.0]}, None, "not a dict"),
        (pd.DataFrame(), None, "no rows"),
        (FRAME[:0], None, "no rows"),
        (FRAME[["kind"]], None, "No column of the table holds numbers"),
        (FRAME[["kind", "mass"]], None, "one column of numbers, 'mass'"),
        (FRAME, "energy ~", "inputs are missing"),
        (FRAME, "enrgy ~ mass", "Did you mean 'energy'"),
        (FRAME, "energy ~ kind", "holds text"),
        (FRAME, "kind ~ mass", "holds text"),
        (pd.DataFrame(np.ones((2, 2001))), None, "2,001 columns"),
        (
            pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
            None,
            "several levels",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused_in_a_sentence(given, formula, said, shell):
    with pytest.raises(UsageError, match=said) as caught:
        nbsr.workbench(given, formula)
    (shown,) = caught.value._render_traceback_()  # what a notebook prints of it
    assert shown.startswith("UsageError: ") and "Traceback" not in shown


def test_repeated_columns_are_shown_and_stay_out(shell):
    frame = pd.DataFrame(np.arange(80.0).reshape(4, 20) ** 2, columns=[*"abcdefghijklmnopqr", "s", "s"])
    shell.user_ns["frame"] = frame
    panel = nbsr.workbench(frame)
    assert panel._columns["s"].refusal.startswith("There are 2 columns called")
    assert panel.text.splitlines()[1] == "r ~ . - s"
    assert not panel.problem


def test_names_reach_the_page_as_text(shell):
    names = ["<img src=x onerror=alert(1)>", "$\\href{javascript:alert(1)}{x}$", "y"]
    frame = pd.DataFrame(RNG.normal(size=(9, 3)), columns=names).assign(**{"<b>": "<i>text</i>"})
    shell.user_ns["frame"] = frame
    panel = nbsr.workbench(frame)
    bundle = panel._repr_mimebundle_()
    pages = [bundle["text/html"], panel._verdict.value, *(look.value for look in panel.inputs._looks)]
    for page in pages:
        assert "<img" not in page and "<i>" not in page and "$" not in page
    for tick in panel.inputs.ticks:
        assert (
            "$" not in tick.description and "\\" not in tick.description and not tick.description_allow_html
        )
    assert not panel.problem


def test_many_columns_are_turned_over_and_filtered(shell):
    frame = pd.DataFrame(RNG.normal(size=(20, 300)), columns=[f"x{i}" for i in range(300)])
    shell.user_ns["frame"] = frame
    panel = nbsr.workbench(frame, "x0 ~ .")
    assert len(panel.inputs.ticks) == ROWS_AT_ONCE
    assert panel.text.splitlines()[1] == "x0 ~ ."
    panel.inputs._later.click()
    assert panel.inputs.ticks[0].description == f"x{ROWS_AT_ONCE + 1}"
    panel.inputs.ticks[0].value = False
    assert panel.text.splitlines()[1] == f"x0 ~ . - x{ROWS_AT_ONCE + 1}"
    panel.inputs._none.click()
    assert panel.problem.startswith("Tick at least one")
    panel.inputs.filter.value = "x29"
    panel.inputs._all.click()
    assert panel.inputs.value == ("x29", *(f"x{i}" for i in range(290, 300)))
    assert panel.inputs.ticks[0].description == "x29"


def test_a_frame_of_polars(shell):
    frame = pl.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "y": [2.0, 4.0, None, 8.0]})
    shell.user_ns["frame"] = frame
    panel = nbsr.workbench(frame)
    assert panel.text.splitlines()[:2] == ["%%regress frame --seconds 10 -o law", "y ~ x"]
    assert panel._columns["y"].missing == 1 and not panel.problem


def test_a_million_rows_are_looked_at_as_a_whole_and_drawn_in_part(shell):
    values = np.arange(1e6)
    values[777_777] = -5.0
    frame = pd.DataFrame({"x": values, "y": values**2})
    shell.user_ns["frame"] = frame
    panel = nbsr.workbench(frame)
    assert panel._columns["x"].low == -5 and panel._columns["x"].more
    assert "of its 1,000,000 rows" in panel._verdict.value
    assert sum(len(look.value) for look in panel.inputs._looks) < 20_000


@settings(max_examples=50)
@given(st.lists(st.floats(), min_size=1, max_size=30), st.text(max_size=10))
def test_pictures_stand_any_numbers_and_names(values, name):
    column = looked_at(Frame(pd.DataFrame({"x": values})))[0]
    picture = column.histogram() + column.against(column) + dots(np.array(values), np.array(values), name)
    assert "nan" not in picture.split("aria-label")[0] and "inf" not in picture.replace("infinite", "")
    assert bars(np.array([0, 3]), name).count("<svg") == 1
    assert "$" not in plain(name)
