"""The benchmark: what is drawn, when a law counts as found, and a run from end to end."""

import itertools
import json

import numpy as np
import pytest
import sympy

from nbsr.benchmark import runner, workbench
from nbsr.benchmark.judge import RESOLUTION, judge, same_law, threshold
from nbsr.benchmark.problems import Problem, Range, load_suite, suites
from nbsr.benchmark.runner import Outcome, Settings, choose, run_problem, run_suite, summary
from nbsr.errors import UsageError
from nbsr.expression import Expression, Vocabulary

EVERY_PROBLEM = [problem for suite in suites() for problem in load_suite(suite)]


def problem_named(suite: str, id: str) -> Problem:
    return next(problem for problem in load_suite(suite) if problem.id == id)


# ------------------------------------------------------------------------------------------ problems


def test_the_suites():
    assert {"fastsrb": 120, "feynman": 100, "nguyen": 12, "jin": 6}.items() <= suites().items()
    keys = [(problem.suite, problem.id) for problem in EVERY_PROBLEM]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("suite", suites())
def test_truths_agree_with_sympy(suite):
    """SymPy reads the formula's text by itself and evaluates it in 40 digits."""
    for problem in load_suite(suite):
        X, y = problem.sample(3, 1, "opinion")
        formula = sympy.sympify(problem.formula)
        for row, value in zip(X, y):
            point = {f"v{i + 1}": sympy.Float(float(v), 40) for i, v in enumerate(row)}
            # cancellation in the formula costs digits of float64
            assert value == pytest.approx(float(formula.evalf(40, subs=point)), rel=1e-6), problem.id


@pytest.mark.parametrize(
    ("range_", "lowest", "highest"),
    [
        (Range("x", 1e-3, 1e3, "log", False), 1e-3, 1e3),
        (Range("x", 1e-3, 1e3, "log", True), -1e3, 1e3),
        (Range("x", -2.0, 5.0, "uni", False), -2.0, 5.0),
        (Range("x", 1.0, 4.0, "int", False), 1.0, 4.0),
    ],
)
def test_ranges(range_, lowest, highest):
    values = range_.draw(np.random.default_rng(0), 4000)
    assert lowest <= values.min() and values.max() <= highest
    assert np.any(values < 0) == (lowest < 0)
    if range_.spacing == "log":  # half of the draws below the geometric middle
        assert abs(np.mean(np.abs(values) < 1.0) - 0.5) < 0.05
    if range_.spacing == "int":
        assert set(values) == {1.0, 2.0, 3.0, 4.0}


def test_a_draw_depends_on_nothing_but_seed_and_problem():
    problem = problem_named("fastsrb", "I.8.14")
    X, y = problem.sample(50, 3, "train")
    problem_named("fastsrb", "I.12.1").sample(10, 3, "train")
    again_X, again_y = problem_named("fastsrb", "I.8.14").sample(80, 3, "train")
    assert np.array_equal(X, again_X[:50]) and np.array_equal(y, again_y[:50])
    for seed, part in [(4, "train"), (3, "test")]:
        assert not np.any(problem.sample(50, seed, part)[0] == X)


def test_rows_outside_the_domain_are_drawn_again():
    half = Problem("s", "p", "", "sqrt(v1)", (Range("x", -1.0, 1.0, "uni", False),))
    X, y = half.sample(500, 0, "train")
    assert X.shape == (500, 1) and X.min() >= 0 and np.all(np.isfinite(y))


@pytest.mark.parametrize(
    ("formula", "defect"),
    [
        ("sqrt(-v1)", "hardly ever finite"),
        ("v1 - v1", "constant"),
        ("exp(exp(6.5*v1 - 6.5))", "overflows"),
        ("v1*1e-200", None),
    ],
)
def test_problems_that_cannot_be_used_say_why(formula, defect):
    problem = Problem("s", "p", "", formula, (Range("x", 1.0, 2.0, "uni", False),))
    assert problem.defect is None if defect is None else defect in problem.defect


def test_unknown_suite_and_problem():
    with pytest.raises(UsageError, match="Did you mean 'nguyen'"):
        load_suite("nguyem")
    with pytest.raises(UsageError, match="Did you mean 'Nguyen-1'"):
        choose("nguyen", only=["Nguyen1"])


def test_choosing():
    assert [p.id for p in choose("nguyen", every=5)[0]] == ["Nguyen-1", "Nguyen-6", "Nguyen-11"]
    assert [p.id for p in choose("jin", only=["Jin-5", "Jin-2"])[0]] == ["Jin-2", "Jin-5"]


# ------------------------------------------------------------------------------------------ judge

XY = Vocabulary(("x", "y"))
POINTS = np.random.default_rng(0).uniform(0.5, 3.0, (300, 2))
SAME = [
    ("x*y", "y*x"),
    ("2*x + 2*y", "2*(x + y)"),
    ("x/(x + y)", "1/(1 + y/x)"),
    ("exp(x + y)", "exp(x)*exp(y)"),
    ("exp(0.70000001*x)", "exp(0.7*x)"),
    ("3.14159265*x**2", "pi*x**2"),
    ("cos(x)**2 - sin(x)**2", "cos(2*x)"),
    ("x**2.0000001*y", "x**2*y"),
    ("log(x**2)", "2*log(x)"),
    ("sqrt(x**2*y)", "x*sqrt(y)"),
    ("(2.5*x + 1.25)*0.8", "2*x + 1"),
    ("(x + y)**3", "x**3 + 3*x**2*y + 3*x*y**2 + y**3"),
    ("tanh(x)", "1 - 2/(exp(2*x) + 1)"),
    ("x**3 - 1", "(x - 1)*(x**2 + x + 1)"),
]
DIFFERENT = [
    ("x", "y"),
    ("x + y", "x*y"),
    ("x - 1.6666667e-1*x**3", "sin(x)"),
    ("x*y + 1e-9*x", "x*y"),
    ("x*exp(1e-12*y)", "x"),
    ("2.01*x", "2*x"),
    ("x + 1e-7", "x"),
    ("x/sqrt(1 - y**2/9e16)", "x*(1 + 0.5*y**2/9e16)"),
    ("x**2.01", "x**2"),
    ("sqrt(x - 1)", "x"),
    ("log(x - 1)", "log(x)"),
]


def parsed(text: str) -> Expression:
    return Expression.parse(text, XY)


@pytest.mark.parametrize(("found", "truth"), SAME)
def test_same_law(found, truth):
    assert same_law(parsed(found), parsed(truth), POINTS)


@pytest.mark.parametrize(("found", "truth"), DIFFERENT)
def test_different_laws(found, truth):
    assert not same_law(parsed(found), parsed(truth), POINTS)


def test_sympy_agrees_where_constants_are_exact():
    """A second opinion by simplification, on every pair of the table's right-hand sides."""
    x, y = sympy.symbols("x y", positive=True)
    truths = [truth for _, truth in SAME if "pi" not in truth and "exp(2" not in truth][:8]
    for one, other in itertools.combinations(truths, 2):
        difference = sympy.simplify(
            sympy.sympify(f"({one}) - ({other})", locals={"x": x, "y": y}, rational=True)
        )
        assert same_law(parsed(one), parsed(other), POINTS) == (difference == 0), (one, other)


def test_digits_are_a_bound_on_each_constant():
    found, truth = parsed("2.05*x*exp(0.31*y)"), parsed("2*x*exp(0.3*y)")
    assert same_law(found, truth, POINTS, digits=0.05)
    assert not same_law(found, truth, POINTS, digits=0.02)


def test_a_whole_exponent_of_a_negative_base_stays():
    points = POINTS - 2.0
    assert same_law(parsed("1.5000001*x**6"), parsed("1.5*x**6"), points)


def test_threshold():
    assert threshold(0.0, 200) == RESOLUTION
    assert threshold(0.1, 200) == pytest.approx(5e-4)
    assert threshold(1e-9, 200) == RESOLUTION


def verdict_on(text: str, truth: str, noise: float = 0.0):
    problem = Problem("s", "p", "", truth, tuple(Range(n, 0.5, 3.0, "uni", False) for n in "xy"))
    found = Expression.parse(text, problem.vocabulary)
    X, y = problem.sample(500, 0, "test")
    return judge(problem, found, found.predict(X), X, y, noise, 200)


@pytest.mark.parametrize(
    ("found", "truth", "noise", "recovered", "symbolic"),
    [
        ("v2*v1", "v1*v2", 0.0, True, True),
        ("v1*v2*2.00001", "2*v1*v2", 0.0, True, True),
        ("v1*v2*1.00001", "v1*v2", 0.0, True, False),
        ("v1*v2*1.01", "v1*v2", 0.0, False, False),
        ("v1*v2*2.02", "2*v1*v2", 0.1, True, True),
        ("v1*v2 + 1e-7*v1", "v1*v2", 0.0, True, False),
        ("v1*v2/(v1/v2 + v2)*(v1/v2 + v2)**1.0000001", "v1*v2", 0.0, True, False),
        ("v1*v2 + 0.3", "v1*v2", 0.0, False, False),
        ("log(v1 - 1)", "v1*v2", 0.0, False, False),
    ],
)
def test_verdicts(found, truth, noise, recovered, symbolic):
    verdict = verdict_on(found, truth, noise)
    assert (verdict.recovered, verdict.symbolic) == (recovered, symbolic)


def test_magnitudes_do_not_matter():
    tiny = verdict_on("v1*v2*1e-200", "1e-200*v1*v2")
    assert tiny.recovered and tiny.symbolic and tiny.fvu < 1e-20


def test_a_law_that_is_not_finite_everywhere_is_not_recovered():
    assert verdict_on("log(v1 - 1)", "v1*v2").fvu == np.inf


# ------------------------------------------------------------------------------------------ runner

QUICK = Settings("nguyen", seconds=60.0, rows=40, max_evaluations=20_000)


def test_a_problem_from_end_to_end():
    outcome = run_problem(problem_named("feynman", "I.12.1"), QUICK)
    assert outcome.error is None
    assert outcome.recovered and outcome.symbolic
    assert outcome.fvu <= RESOLUTION and outcome.complexity <= 1.2 * outcome.truth_complexity
    assert outcome.peak_megabytes > 10


def perfect(X, y, settings):
    law = Expression.parse("sqrt(v1)", Vocabulary(("v1",)))
    return law, str(law), law.predict


def failing(X, y, settings):
    raise RuntimeError("no law today")


def test_noise_is_on_the_training_rows_only():
    seen = {}

    def watching(X, y, settings):
        seen["y"] = y
        return perfect(X, y, settings)

    problem = problem_named("nguyen", "Nguyen-8")
    outcome = run_problem(problem, Settings("nguyen", noise=0.1, rows=5000), watching)
    exact = problem.sample(5000, 0, "train")[1]
    assert outcome.fvu < 1e-25
    assert np.std(seen["y"] - exact) == pytest.approx(0.1 * np.std(exact), rel=0.1)


def test_a_search_that_fails_is_an_outcome():
    outcome = run_problem(problem_named("nguyen", "Nguyen-8"), QUICK, failing)
    assert outcome.error == "RuntimeError: no law today"
    assert not outcome.recovered and outcome.fvu == np.inf
    assert "no law today" in outcome.line()


def test_a_suite_resumes_from_its_file(tmp_path, monkeypatch):
    posed = []

    def counting(X, y, settings):
        posed.append(len(y))
        return perfect(X, y, settings)

    monkeypatch.setattr(runner, "solver", lambda method: counting)
    out, lines = tmp_path / "outcomes.jsonl", []
    ids = ["Nguyen-1", "Nguyen-8"]
    run_suite(QUICK, only=ids[:1], out=out, report=lines.append)
    run_suite(QUICK, only=ids, out=out, report=lines.append)
    assert len(posed) == 2
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ids
    assert lines[-1].startswith("nguyen auto 60s: recovered 1/2 (50.0%) symbolic 1/2 (50.0%) median ")
    # other settings are another run; half a line, as a kill leaves it, is passed over
    with out.open("a") as file:
        file.write('{"settings": {"suite"')
    run_suite(Settings("nguyen", seconds=60.0, rows=41), only=ids[:1], out=out, report=lines.append)
    assert len(posed) == 3


def test_summary_line():
    def outcome(index):
        return Outcome(Settings("fastsrb"), str(index), index < 96, index < 80, 0.0, 3, 3, 2.1, 100.0, "x")

    line = summary(Settings("fastsrb"), [outcome(index) for index in range(115)])
    assert line == "fastsrb auto 10s: recovered 96/115 (83.5%) symbolic 80/115 (69.6%) median 2.1s"


def test_the_record_and_a_view_of_a_search_without_a_limit_are_timed():
    clock = workbench.Clock()
    with workbench.recording(clock):
        seconds = workbench.searched("evolve", 300)
    assert 0 < clock.seconds < seconds
    assert workbench.watched("evolve", 300, view=True) > 0
