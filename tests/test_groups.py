"""One form with constants of its own for each group: the table, the fits, the search, the result, the cell."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

import nbsr
from nbsr.benchmark import groups as bench
from nbsr.engine.groups import _offers
from nbsr.errors import UsageError
from nbsr.evaluate import compile_programs
from nbsr.expression import Expression, GroupedLaw, Vocabulary, pack
from nbsr.notebook.grammar import parse_body, parse_command
from nbsr.notebook.sources import Finished
from nbsr.notebook.task import Scope, read
from nbsr.notebook.views import anatomy_of, refinement_of
from nbsr.notebook.wire import Feed
from nbsr.refine import GroupedProblem, fit_jointly, refine_groups
from nbsr.table import Groups, Table

GROUPS, ROWS = 6, 14
A = np.array([1.2, 4.8, 2.1, 3.3, 0.9, 2.7])
B = np.array([0.3, 0.9, 0.5, 1.2, 0.7, 0.4])


def decays(noise=0.01, shared=False, seed=0):
    """y = a*exp(-b*t) with a, and unless it is shared b, of each subject's own."""
    rng = np.random.default_rng(seed)
    code = np.repeat(np.arange(GROUPS), ROWS)
    t = np.tile(np.linspace(0, 5, ROWS), GROUPS)
    y = A[code] * np.exp(-(0.6137 if shared else B[code]) * t)
    y = y + noise * y.std() * rng.standard_normal(len(y))
    return pd.DataFrame({"t": t, "subject": [f"s{c}" for c in code], "y": y})


# -- the table


def test_groups_are_read_from_whatever_tells_them_apart():
    data = decays()
    for column in (data.subject, data.subject.astype("category"), data.subject.str[1:].astype(int) > 2):
        table = Table.from_frame(data.assign(subject=column), "y ~ . | subject")
        assert table.names == ("t",) and table.formula == "y ~ t | subject"
        assert len(_groups(table)) == column.nunique() and _groups(table).counts.sum() == len(data)


@given(st.lists(st.sampled_from(["a", "b", 3, 2.5, None]), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_codes_lead_back_to_labels(labels):
    groups = Groups.read("g", pd.Series(labels, dtype=object))
    assert [None if c < 0 else groups.labels[c] for c in groups.codes] == labels
    assert np.array_equal(groups.codes_of(pd.Series(labels, dtype=object)), groups.codes)
    used = groups.take(np.arange(len(labels)) % 2 == 0).used()
    assert (used.counts > 0).all()


def test_rows_without_a_group_and_small_groups_are_left_out_and_counted():
    data = decays()
    data.loc[0, "subject"] = None
    data.loc[data.index[-ROWS + 2 :], "subject"] = "s0"
    table = Table.from_frame(data, "y ~ t | subject")
    assert _groups(table).labels == ("s0", "s1", "s2", "s3", "s4")
    assert sorted(entry.count for entry in table.dropped) == [1, 2]
    assert "('s5') has fewer than 3 rows" in " ".join(table.notes)


def test_a_test_part_takes_its_share_of_each_group():
    learn, test = Table.from_frame(decays(), "y ~ t | subject").split(0.25)
    assert len(learn) + len(test) == GROUPS * ROWS
    assert (_groups(test).counts >= 3).all() and (_groups(learn).counts >= 10).all()


SLIPS = [
    ("y ~ t | row", "one row each"),
    ("y ~ t | same", "are only one"),
    ("y ~ t | pair", "at least 3 rows each"),
    ("y ~ t | subjct", "Did you mean 'subject'?"),
    ("y ~ t + subject | subject", "an input and the column of groups"),
]


@pytest.mark.parametrize("formula, said", SLIPS)
def test_groups_that_cannot_be_used(formula, said):
    data = decays().assign(row=range(GROUPS * ROWS), same=1, pair=np.arange(GROUPS * ROWS) // 2)
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        nbsr.regress(data, formula, seconds=1)


# -- the fits


def _groups(table):
    assert table.groups is not None
    return table.groups


def _problem(data):
    codes = data.subject.str[1:].astype(int).to_numpy()
    return GroupedProblem.of(data[["t"]].to_numpy(), data.y.to_numpy(), None, codes, np.arange(GROUPS)), codes


def test_each_group_is_fitted_as_by_itself():
    data = decays()
    problem, codes = _problem(data)
    law = Expression.parse("c0*exp(-c1*t)", Vocabulary(("t",)), free_constants=True)
    fits = refine_groups(pack([law])[0], problem, law.vocabulary, starts=None, restarts=4)
    left = 0.0
    for code in range(GROUPS):
        t, y = data.t[codes == code], data.y[codes == code]
        known, _ = curve_fit(lambda t, a, b: a * np.exp(-b * t), t, y, p0=(1, 1))
        assert fits.constants[0, code] == pytest.approx(known, rel=1e-5)
        left += np.sum((known[0] * np.exp(-known[1] * t) - y) ** 2)
    assert fits.fvu[0] == pytest.approx(left / np.sum((data.y - data.y.mean()) ** 2), rel=1e-6)


def test_a_shared_constant_and_all_errors_are_those_of_one_large_fit():
    data = decays(shared=True)
    problem, codes = _problem(data)
    law = Expression.parse("c0*exp(-c1*t)", Vocabulary(("t",)), free_constants=True)
    shared = np.array([[False, True]])
    fits = refine_groups(pack([law])[0], problem, law.vocabulary, starts=None, restarts=4, shared=shared)
    t = data.t.to_numpy()
    known, covariance = curve_fit(
        lambda _, b, *a: np.array(a)[codes] * np.exp(-b * t), t, data.y, p0=[0.5, *[1.0] * GROUPS]
    )
    assert fits.constants[0, :, 1] == pytest.approx(known[0], rel=1e-6)
    assert fits.constants[0, :, 0] == pytest.approx(known[1:], rel=1e-6)
    programs = compile_programs(pack([law])[0], law.vocabulary)
    joint = fit_jointly(programs, fits.constants, shared, ~np.zeros_like(shared), problem, 0)
    errors = np.sqrt(np.diag(covariance))
    assert joint.errors[0, :, 1] == pytest.approx(errors[0], rel=1e-3)
    assert joint.errors[0, :, 0] == pytest.approx(errors[1:], rel=1e-3)
    assert (
        joint.fvu[0] == pytest.approx(fits.fvu[0]) and joint.fvu[0] < joint.predictive[0] < 1.4 * joint.fvu[0]
    )


def test_a_constant_that_a_group_does_not_determine_says_so():
    data = decays()
    data.loc[data.subject == "s0", "t"] = 2.0
    problem, _ = _problem(data)
    law = Expression.parse("c0*exp(-c1*t)", Vocabulary(("t",)), free_constants=True)
    fits = refine_groups(pack([law])[0], problem, law.vocabulary, starts=None, restarts=4)
    free = np.ones((1, 2), bool)
    programs = compile_programs(pack([law])[0], law.vocabulary)
    errors = fit_jointly(programs, fits.constants, ~free, free, problem, 0).errors[0]
    assert np.isinf(errors[0]).all() and np.isfinite(errors[1:]).all()


def test_a_law_by_group_is_each_group_s_law():
    form = Expression.parse("3*x**1.5 + 2*c0", Vocabulary(("x", "c0")))
    constants = np.array([[3.0, 1.5, 2.0], [4.0, 1.5, -1.0]])
    law = GroupedLaw.of(form, constants, [0, 2])
    assert law.own_names == ("c0_", "c2") and law.columns == ("x", "c0") and law.constants == (1.5,)
    assert law.complexity == form.complexity and str(law) == "c0_*x**1.5 + c2*c0"
    X, codes = np.array([[1.0, 2.0], [4.0, 1.0], [4.0, 1.0]]), np.array([0, 1, -1])
    assert law.values(X, codes)[:2].tolist() == [7.0, 31.0] and np.isnan(law.values(X, codes)[2])
    assert law.in_group(1).predict(X)[1] == 31.0


# -- the search and its result


@pytest.fixture(scope="module")
def result():
    return nbsr.regress(decays(), "y ~ t | subject", method="textbook", seconds=None, max_evaluations=100)


def test_every_law_that_is_told_has_the_fvu_that_is_told():
    """Also where it was respelled and fitted anew."""
    found = nbsr.regress(decays(), "y ~ t | subject", method="textbook", seconds=None, max_evaluations=500)
    told = [law for law in found.candidates_seen if np.isfinite(law.fvu)]
    assert len(told) > 20
    for law in told:
        left = decays().y - found.predict(decays(), law)
        assert law.fvu == pytest.approx(
            np.sum(left**2) / np.sum((decays().y - decays().y.mean()) ** 2), rel=1e-6
        )


def test_the_form_is_found_with_constants_and_errors_of_each_group(result):
    law = result.best.expression
    assert isinstance(law, GroupedLaw) and len(law.own_names) == 2 and not law.constants
    told = result.groups
    assert list(told.index) == [f"s{k}" for k in range(GROUPS)] and told.index.name == "subject"
    assert set(told.columns) == {"c0", "c0_error", "c1", "c1_error", "rows", "fvu"}
    assert (told.rows == ROWS).all() and (told.fvu < 1e-2).all()
    assert (np.abs(told.c0 - A) < 5 * told.c0_error).all()
    assert result.fvu(decays()) == pytest.approx(result.best.fvu, rel=1e-6)
    assert result.best.n_constants == 2 * GROUPS


def test_predictions_look_up_the_group(result):
    data = decays(noise=0).sample(frac=1, random_state=1)
    assert np.abs(result.predict(data) - data.y).max() < 0.1
    assert np.isnan(result.predict(data.assign(subject=None))).all()
    with pytest.raises(UsageError, match="no column 'subject', which says the groups"):
        result.predict(data.drop(columns="subject"))
    with pytest.raises(UsageError, match=r"'new' of 'subject' was not in the table .* result.refit"):
        result.predict(data.assign(subject="new"))


def test_new_groups_are_fitted(result):
    new = (
        decays(noise=0).query("subject < 's2'").assign(subject=lambda d: "n" + d.subject, y=lambda d: 2 * d.y)
    )
    again = result.refit(new)
    assert again.groups.c0.to_numpy() == pytest.approx(2 * A[:2], rel=1e-6)
    assert again.predict(new) == pytest.approx(new.y.to_numpy(), rel=1e-6)
    assert str(again.best) == str(result.best)
    with pytest.raises(UsageError, match="at least 2 rows"):
        result.refit(new.iloc[:1])


def test_parts_are_weighed_in_all_groups_together():
    data = decays()
    found = nbsr.regress(
        data, "y ~ t | subject", method="textbook", seconds=None, max_evaluations=1, start="c0*exp(c1*t)"
    )
    best = next(c for c in found.candidates_seen if str(c.expression) == "c0*exp(c1*t)")
    told = anatomy_of(best, found.table)
    parts = {part["text"]: part for part in told["parts"]}
    spread = data.y.var(ddof=0)
    within = (data.y - data.groupby("subject").y.transform("mean")).var(ddof=0) / spread
    assert told["fvu"] == pytest.approx(best.fvu, rel=1e-6)
    assert parts["exp(c1*t)"]["without"] == pytest.approx(within)
    assert parts["exp(c1*t)"]["constant"] == pytest.approx(within)
    alone = 0.0
    for _, rows in data.groupby("subject"):
        (rate,), _ = curve_fit(lambda t, b: np.exp(-b * t), rows.t, rows.y, [0.5])
        alone += ((rows.y - np.exp(-rate * rows.t)) ** 2).sum() / (spread * len(data))
    assert parts["c0"]["without"] == pytest.approx(alone, rel=1e-6)
    assert [parts[name]["constant_place"] for name in ("c0", "c1")] == [0, 1]
    assert parts["c0"]["constant"] is parts["c1"]["constant"] is None


def test_a_page_knows_the_constants_of_each_group(result):
    assert isinstance(result.best.expression, GroupedLaw)
    packet = Feed(Finished(result)).whole()
    assert packet["run"]["groups"] == {"column": "subject", "labels": [f"s{k}" for k in range(GROUPS)]}
    law = next(law for law in packet["laws"] if law["id"] == result.best.order)
    assert [own["name"] for own in law["own"]] == ["c0", "c1"]
    assert law["own"][0]["values"] == pytest.approx(A, rel=0.05)
    assert {place for place in law["prefix"] if isinstance(place, int)} == {0, 1, 2}
    codes = packet["data"]["group"]
    assert np.array_equal(codes, result.table.codes)
    own = [column["values"][codes] for column in law["own"]]
    predicted = Expression(*_plain(result.best.expression)).predict(
        np.column_stack([*packet["data"]["X"], *own])
    )
    assert predicted == pytest.approx(result.predict(decays()))
    told = refinement_of(result.best, result.table)
    assert told["names"] == ["c0", "c1"] and told["group"] == "s0"


def _plain(law):
    return law.tokens, law.constants, law.vocabulary


def test_all_forms_of_the_result_know_the_groups(result, tmp_path):
    text, page = repr(result), result._repr_html_()
    assert "subject" in text and "s3" in text and "±" in text
    assert 'class="nbsr-groups"' in page and "s3" in page and "| s3 |" in result._repr_markdown_()
    assert result.code().count("c1") and "c_{1}" in result.latex()
    assert result.plot() is not None and len(result.candidates) > 10
    loaded = nbsr.Result.load(result.save(tmp_path / "law.json"))
    assert repr(loaded) == text and loaded.groups.equals(result.groups)
    assert np.array_equal(loaded.predict(decays()), result.predict(decays()))
    assert "s3" in result.to_html(tmp_path / "law.html").read_text(encoding="utf-8")


def test_a_shared_constant_is_one_number_of_the_law():
    found = nbsr.regress(
        decays(shared=True), "y ~ t | subject", method="exhaustive", seconds=None, max_evaluations=2,
        start="c0*exp(-c1*t)", shared="c1",
    )  # fmt: skip
    law = found.candidate(len(found.front_candidates) - 1).expression
    assert (
        isinstance(law, GroupedLaw)
        and law.own_names == ("c0",)
        and law.constants == pytest.approx([0.6137], rel=0.02)
    )
    assert 0 < found.best.errors[0] < 0.02


SHARED = [
    ({"shared": "k"}, "y ~ t | subject", "'k' names none"),
    (
        {"shared": "c2", "start": "c0*exp(-c1*t)"},
        "y ~ t | subject",
        "There is no constant c2 in the law to start from",
    ),
    ({"shared": "c1", "start": "c1*exp(-c0*t)"}, "y ~ t | subject", "number those of the law"),
    ({"shared": "c0"}, "y ~ t", "Only a search with groups"),
    (
        {"start": "c0 + c1*t + c2*t**2"},
        "y ~ t | small",
        "has 3 constants for each group, and the group 'False' has 3 rows",
    ),
    ({"noise": "relative"}, "y ~ t | subject", "do not go together"),
]


@pytest.mark.parametrize("options, formula, said", SHARED)
def test_what_cannot_be_shared(options, formula, said):
    with pytest.raises(UsageError, match=said):
        nbsr.regress(decays().assign(small=np.arange(GROUPS * ROWS) > 2), formula, seconds=1, **options)


def test_many_groups_are_all_fitted_in_the_end():
    rng = np.random.default_rng(3)
    code = np.repeat(np.arange(30), 6)
    slope = rng.uniform(1, 5, 30)
    x = rng.uniform(0.5, 4, len(code))
    data = pd.DataFrame({"x": x, "batch": code, "y": slope[code] * np.sqrt(x)})
    found = nbsr.regress(data, "y ~ x | batch", seconds=None, max_evaluations=400, model="none")
    assert found.best.fvu < 1e-20 and found.groups.c0.to_numpy() == pytest.approx(slope)


def test_a_cell_takes_groups_and_shared_constants():
    line = "df y ~ t | subject --shared c1 --seconds 3"
    task = read(parse_command(line), parse_body(""), Scope({"df": decays()}))
    assert task.formula.split() == ["y", "~", "t", "|", "subject"]
    assert task.settings == {"seconds": 3.0, "shared": ("c1",)}
    with pytest.raises(UsageError, match="'b' names none"):
        read(parse_command("df y ~ t | subject --shared b"), parse_body(""), Scope({"df": decays()}))


# -- the measurement


def test_the_judge_of_forms():
    problem = next(p for p in bench.PROBLEMS if p.id == "decay")
    X, y, codes = bench.sampled(problem, 0, 40, 0.0)

    def fitted(text):
        form = Expression.parse(text, Vocabulary(("t",)), free_constants=True)
        whole = GroupedProblem.of(X, y, None, codes, np.arange(problem.groups))
        fits = refine_groups(pack([form])[0], whole, form.vocabulary, starts=None, restarts=8)
        return GroupedLaw.of(form, fits.constants[0], list(range(len(form.constants))))

    said = [
        ("c0*exp(-c1*t)", True),
        ("c0/c1**t", True),
        ("c0/(1 + c1*t)", False),
        ("c0*exp(-c1*t) + c2", False),
    ]
    assert [(text, bench.found(problem, fitted(text), 0)) for text, _ in said] == said


@pytest.mark.parametrize(
    ("value", "error", "exponent", "told"),
    [
        (2.0004, 0.002, False, [2.0]),
        (0.0007, 0.002, False, [0.0]),
        (1.0138, 0.003, False, []),  # sqrt(37)/6 is near, but dearer than the digits that the groups tell
        (1.5919, 0.004, False, []),  # and so is 5/pi
        (1.5011, 0.003, True, [1.5]),
        (3.1416, 0.004, True, []),  # no measured exponent is pi
    ],
)
def test_a_number_that_all_groups_share_is_read_as_that_of_a_single_law(value, error, exponent, told):
    rng = np.random.default_rng(4)
    scatter = rng.standard_normal(10)
    values = value + error * (scatter - scatter.mean())
    assert _offers(values, np.full(10, error), exponent, 1e-4) == told
    apart = value + 40 * error * np.arange(10.0)
    assert _offers(apart, np.full(10, error), exponent, 1e-4) == []
