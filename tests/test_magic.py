"""The grammar of %%regress, its completion, and the magics in a real IPython shell."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbsr.errors import UsageError
from nbsr.notebook.completion import complete, values_of, words
from nbsr.notebook.grammar import KEYS, OPTIONS, Phrase, help_text, parse_body, parse_command
from nbsr.notebook.task import Scope, Task, interpolate, read
from nbsr.result import Result
from nbsr.table import Table

PLANETS = pd.DataFrame({"a": [0.4, 1.0, 5.2], "period": [0.2, 1.0, 11.9], "orbit class": [1.0, 2.0, 3.0]})
KEPLER = Result(Table.from_frame(PLANETS, "period ~ a"), (), 0, "stopped")
NAMES = {
    "df": PLANETS,
    "budget": 2.5,
    "ops": ["+", "sin"],
    "kepler": KEPLER,
    "n": 3,
    "pd": pd,
    "columns": {"y": [1.0]},
}


def task_of(line: str, body: str = "", names: dict | None = None) -> Task:
    return read(parse_command(line), parse_body(body), Scope(NAMES if names is None else names))


# ---- what is accepted


@pytest.mark.parametrize(
    ("line", "body", "expected"),
    [
        ("df", "period ~ a", {"formula": "period ~ a", "source": "df", "settings": {}, "top": 10}),
        ("df --seconds 20s", "period ~ a", {"settings": {"seconds": 20.0}}),
        ("df --seconds=1.5min", "period ~ a", {"settings": {"seconds": 90.0}}),
        ("df --seconds {budget}", "period ~ a", {"settings": {"seconds": 2.5}}),
        ("df --seconds { budget * 2 }", "period ~ a", {"settings": {"seconds": 5.0}}),
        ("--seed 7 df --method pairs", "period ~ a", {"settings": {"seed": 7, "method": "pairs"}}),
        (
            "df --method softmax --model base --choices 1024",
            "period ~ a",
            {"settings": {"method": "softmax", "model": "base", "choices": 1024}},
        ),
        ("df --model 'my nets/one'", "period ~ a", {"model": "my nets/one"}),
        ("df --model none", "period ~ a\ncomplexity: 9", {"settings": {"model": "none", "complexity": 9}}),
        ("df --max_evaluations 1e4", "period ~ a", {"settings": {"max_evaluations": 10_000}}),
        ("df -o law --top 3 --background", "period ~ a", {"name": "law", "top": 3, "background": True}),
        ("df --by 'orbit class'", "period ~ a", {"by": "orbit class"}),
        ("df --by=`orbit class`", "period ~ a", {"by": "orbit class"}),
        ("df --by {'a'}", "period ~ orbit", {"by": "a"}),
        ("df --out=ｌａｗ", "period ~ a", {"name": "law"}),  # as Python reads names
        ("df", "law << period ~ a", {"name": "law", "formula": "period ~ a"}),
        ("df", "# first\n\n  period ~ a  # why\n", {"formula": "period ~ a"}),
        ("df period ~ a - x --seed 3", "", {"formula": "period ~ a - x", "settings": {"seed": 3}}),
        ("df --seed 3 period ~ . -a", "", {"formula": "period ~ . -a", "settings": {"seed": 3}}),
        ("df log(period)~a", "", {"formula": "log(period)~a", "source": "df"}),
        ("period ~ a", "", {"formula": "period ~ a", "source": "df"}),  # the only DataFrame there is
        ("law << period ~ a", "", {"formula": "period ~ a", "name": "law", "source": "df"}),
        ("df law << period ~ a", "", {"formula": "period ~ a", "name": "law", "source": "df"}),
        ("df", "period ~ `orbit class`", {"formula": "period ~ `orbit class`"}),
        ("{df[df.a > 1]}", "period ~ a", {"source": "df[df.a > 1]"}),
        ("columns", "y ~ x", {"source": "columns"}),
        ("", "period ~ a\ndata: df[df['a'] > n]", {"source": "df[df['a'] > n]"}),
        ("df", "period ~ {'a'}", {"formula": "period ~ a"}),
        (
            "df",
            "period ~ a\noperators: + - * / sqrt exp",
            {"operators": ("+", "-", "*", "/", "pow1_2", "exp")},
        ),
        ("df", "period ~ a\noperators: +,-, sin", {"operators": ("+", "-", "sin")}),
        ("df", "period ~ a\noperators: {ops}", {"operators": ("+", "sin")}),
        ("df", "period ~ a\nOperators : {ops} exp", {"operators": ("+", "sin", "exp")}),
        ("df", "period ~ a\nmax complexity: {n + 4}", {"max_complexity": 7}),
        ("df", "period ~ a\nforbid: sin cos", {"forbid": ("sin", "cos")}),
        ("df", "period ~ a\nforbid: sin(exp(?)), a * a; + -", {"forbid": ("sin(exp(?))", "a * a", "+", "-")}),
        ("df", "period ~ a\nforbid: sin\nforbid: `orbit class`", {"forbid": ("sin", "`orbit class`")}),
        ("df", "period ~ a\nrequire: max(a, ?)", {"require": ("max(a, ?)",)}),
        ("df", "period ~ a\nstart: c0*sin(c1*a); c0 + c1*a", {"start": ("c0*sin(c1*a)", "c0 + c1*a")}),
        ("df", "period ~ a\nweights: `orbit class`", {"weights": "orbit class"}),
        ("df", "period ~ a\ntest: 20%", {"test": 0.2}),
        ("df", "period ~ a\ntest: {n / 10}", {"test": 0.3}),
        (
            "df",
            'period ~ a\ncompare: kepler, "2*a"; max(a, 1)',
            {"compared": ["kepler", '"2*a"', "max(a, 1)"]},
        ),
        ("df", "period ~ a;", {"formula": "period ~ a", "silent": True}),
        ("df", "period ~ a\nmax_complexity: 9\n;", {"max_complexity": 9, "silent": True}),
    ],
)
def test_accepts(line, body, expected):
    task = task_of(line, body)
    for name, value in expected.items():
        if name == "compared":
            assert [label for label, _ in task.compare] == value
        else:
            assert (getattr(task, name) if hasattr(task, name) else task.settings[name]) == value


def test_data_by_expression_is_the_value_itself():
    assert task_of("df", "period ~ a\ntest: df[df.a > 1]").test.equals(PLANETS[PLANETS.a > 1])
    assert task_of("{df}", "period ~ a").data is PLANETS
    weights = task_of("df", "period ~ a\nweights: {df.a}").weights
    assert weights is not None and weights.equals(PLANETS.a)


# ---- what is refused: the message, and the text under the caret


@pytest.mark.parametrize(
    ("line", "body", "says", "under"),
    [
        ("df --secnods 5", "period ~ a", "Did you mean '--seconds'?", "--secnods"),
        ("df -x", "period ~ a", "There is no option '-x'", "-x"),
        ("df --seconds", "period ~ a", "--seconds needs a value", "--seconds"),
        ("df --seconds --seed 1", "period ~ a", "--seconds needs a value", "--seconds"),
        ("df --seconds=", "period ~ a", "--seconds needs a value", "--seconds="),
        ("df --seconds 0", "period ~ a", "must be positive", "0"),
        ("df --seconds inf", "period ~ a", "", "inf"),
        ("df --seconds nan", "period ~ a", "", "nan"),
        ("df --seconds 5 parsecs", "period ~ a", "'parsecs' is unexpected", "parsecs"),
        ("df --seconds 5parsecs", "period ~ a", "A time such as 20", "5parsecs"),
        ("df --seed 1.5", "period ~ a", "whole number", "1.5"),
        ("df --seed -1", "period ~ a", "between 0", "-1"),
        ("df --seed 1 --seed 2", "period ~ a", "given twice", "--seed 2"),
        ("df --top 0", "period ~ a", "between 1 and 1000", "0"),
        ("df --choices 0", "period ~ a", "number of choices must be between 1", "0"),
        ("df --choices few", "period ~ a", "whole number", "few"),
        ("df --model ''", "period ~ a", "name of a network", "''"),
        ("df", "period ~ a\ncomplexity: short", "whole number", "short"),
        ("df --by orbit", "period ~ a", "no column 'orbit'. Did you mean 'orbit class'?", "orbit"),
        ("df --by a --background", "period ~ a", "one for each table", "--background"),
        ("df --by a", "period ~ a\ntest: 20%", "one for each table", "20%"),
        ("columns --by y", "period ~ a", "splits a DataFrame, not a dict", "y"),
        ("df --background=yes", "period ~ a", "takes no value", "--background"),
        ("df -o 1st", "period ~ a", "must be a Python name", "1st"),
        ("df -o my-law", "period ~ a", "'my_law' would be one", "my-law"),
        ("df -o lambda", "period ~ a", "reserved", "lambda"),
        ("df -o _", "period ~ a", "reserved", "_"),
        ("df -o df", "period ~ a", "is the data itself", "df"),
        ("df -o one", "two << period ~ a", "two names", "two"),
        ("dff", "period ~ a", "Did you mean 'df'?", "dff"),
        ("n", "period ~ a", "'n' is a int", "n"),
        ("df.a", "period ~ a", "in braces", "df.a"),
        ("{df.b}", "period ~ a", "AttributeError", "df.b"),
        ("{undefined}", "period ~ a", "'undefined' is not defined", "undefined"),
        ("{df", "period ~ a", "never closed", "{df"),
        ("{df[}", "period ~ a", "never closed", "{df[}"),
        ("df other", "period ~ a", "'other' is unexpected", "other"),
        ("df", "", "There is no formula", "df"),
        ("df", "period = a", "target ~ inputs", "period = a"),
        ("df", "operators: +\nperiod ~ a", "comes first", "period ~ a"),
        ("df", "period ~ a\nperiod ~ b", "second formula", "period ~ b"),
        ("df period ~ a", "period ~ b", "second formula", "period ~ b"),
        ("df", "period ~ a\noperator: +", "Did you mean 'operators'?", "operator:"),
        ("df", "period ~ a\noperators: + snn", "Did you mean 'sin'?", "snn"),
        ("df", "period ~ a\noperators:", "needs a value", "operators"),
        ("df", "period ~ a\noperators: +\noperators: -", "given twice", "operators: -"),
        ("df", "period ~ a\nmax_complexity: many", "whole number", "many"),
        ("df", "period ~ a\nwhat is this", "no `key: value` line", "what is this"),
        ("df", "period ~ a\ntest: 120%", "between 0 and 1", "120%"),
        ("df", "period ~ a\ntest: n", "between 0 and 1", "n"),
        ("df", "period ~ a\ntest: kepler", "a share such as 20%", "kepler"),
        ("df", "period ~ a\ndata: df", "given twice", "df"),
        ("", "period ~ a\ndata: df[", "not a Python expression", "df["),
        ("", "period ~ a\ndata: 1/0", "ZeroDivisionError", "1/0"),
        ("", "period ~ a\ndata: exit()", "failed", "exit()"),
        ("df", "period ~ a\nstart: {df}*a", "cannot stand inside a text", "df}"),
        ("df", "period ~ a\nstart: a}", "without its {", "}"),
        ("df", "period ~ `a", "never closed", "`a"),
    ],
)
def test_refuses(line, body, says, under):
    with pytest.raises(UsageError) as caught:
        task_of(line, body)
    message, text, caret = caught.value.render().split("\n")
    assert says.lower() in message.lower()
    assert text[caret.index("^") :].startswith(under)
    assert text in (f"%%regress {line}", *body.split("\n"))


def test_data_left_out():
    with pytest.raises(UsageError, match="no DataFrame yet"):
        task_of("", "y ~ x", {})
    with pytest.raises(UsageError, match="one of first, second"):
        task_of("", "y ~ x", {"second": PLANETS, "first": PLANETS, "_hidden": PLANETS})


def test_errors_of_other_parsers_point_into_the_line_as_typed():
    task = task_of("df", "law << period ~ a + b  # comment\nforbid: sin(exp(, 2")
    error = task.located(UsageError("There is no column 'b'.", text="period ~ a + b", position=13))
    assert error.render().split("\n")[1:] == ["law << period ~ a + b  # comment", " " * 20 + "^"]


def test_names_that_only_the_search_knows():
    task = task_of("df --method pears", "period ~ a")
    with pytest.raises(UsageError, match="Did you mean 'pairs'") as caught:
        task.check({"method": ["auto", "pairs"], "score": ["mdl"]})
    assert caught.value.position == len("%%regress df --method ")


# ---- nothing but a UsageError, whatever is typed

WORDS = st.sampled_from(
    [
        *OPTIONS, *KEYS, "-o", "-h", "df", "law", "period", "a", "~", "+", "-", "*", "<<", "{df}", "{budget}",
        "{ops}", "{n", "}}", "{{",  "`", "`a b`", "'", '"', ";", ":", "#", "=", "20%", "1e999", "-1", "9" * 5000,
        "0x10", "٣", "ß", "sin(?)", "c0*a", "\n", "\t", " ", "\r", "\x00", "\ud800", "\u2028", "{", "}", "(",
        ")", "[", "]", "\\", "{1/0}", "{df.a}", "{'x'}", "{[1, 2]}", "{None}", "{float('nan')}", "{kepler}",
        "{10**400}", "{True}", ",", "log(", ".",
    ]
)  # fmt: skip
TYPED = st.lists(st.one_of(WORDS, st.text(max_size=6), st.just(" ")), max_size=14).map("".join)
LINES = st.lists(
    st.one_of(TYPED, st.tuples(st.sampled_from([*KEYS, "key"]), TYPED).map(lambda kv: f"{kv[0]}: {kv[1]}")),
    max_size=5,
).map("\n".join)


@given(line=TYPED, first=st.one_of(st.just("period ~ a\n"), TYPED), rest=LINES)
@settings(max_examples=1500)
def test_only_usage_errors(line, first, rest):
    try:
        command, body = parse_command(line), parse_body(first + rest)
        read(command, body, Scope(NAMES))
    except UsageError as slip:
        assert slip.render()


@given(text=st.one_of(TYPED, TYPED.map("%%regress ".__add__), TYPED.map("%%regress df\n".__add__)))
@settings(max_examples=500)
def test_completion_never_fails(text):
    offer = complete(text, Scope(NAMES), lambda option: ("auto", "pairs"))
    if offer is not None:
        assert text.endswith(offer.fragment) or offer.fragment == text.rpartition("\n")[2].lstrip()


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_interpolated_numbers_keep_all_digits(value):
    text = interpolate(Phrase("a + {v}", 0, 7), Scope({"v": value}))
    assert float(text.removeprefix("a + ")) == value


@given(text=st.text(alphabet="ab{} ", max_size=12))
def test_doubled_braces_are_braces(text):
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert interpolate(Phrase(escaped, 0, len(escaped)), Scope({})) == text


# ---- completion


@pytest.mark.parametrize(
    ("text", "offered", "not_offered"),
    [
        ("%%regress ", ["df"], ["--seconds", "kepler"]),
        ("%regress st", ["status", "stop"], ["df"]),
        ("law = %regress d", ["df", "doctor"], []),
        ("%%regress df --se", ["--seconds", "--seed"], ["--method"]),
        ("%%regress df --seed 1 --se", ["--seconds"], ["--seed"]),
        ("%%regress df --method ", ["auto", "pairs", "evolve"], ["--seed"]),
        ("%%regress df --method=pa", ["pairs"], ["auto"]),
        ("%%regress df --score m", ["mdl"], ["pareto"]),
        ("%%regress df --model no", ["none"], []),
        ("%%regress df --me", ["--method"], ["--model"]),
        ("%%regress df\n", ["period", "a", "`orbit class`"], ["operators: "]),
        ("%%regress df\nperiod ~ or", ["`orbit class`"], ["period"]),
        ("%%regress df\nperiod ~ a + `orb", ["`orbit class`"], ["a"]),
        ("%%regress df\nlo", ["log(", "log10("], ["a"]),
        ("%%regress df\nperiod ~ a\nma", ["max_complexity: "], ["operators: "]),
        ("%%regress df\nperiod ~ a\noperators: +\n", ["forbid: ", "max_complexity: "], ["operators: "]),
        ("%%regress df\nperiod ~ a\noperators: + s", ["sin", "sqrt"], ["cos", "a"]),
        ("%%regress df\nperiod ~ a\nweights: ", ["`orbit class`"], ["sin"]),
        ("%%regress df\nperiod ~ a\nstart: c0*si", ["sin"], ["cos"]),
        ("%%regress --seed 1\nperiod ~ ", ["a"], []),  # the only DataFrame there is
        ("%regress df period ~ ", ["a", "`orbit class`"], []),
        ("%regress forbid ", ["a", "`orbit class`", "sin", "square"], ["--seconds"]),
        ("%regress require sin(", ["a", "sin"], ["df"]),
        ("%regress guess c0*co", ["cos", "cosh"], ["sin", "a"]),
        ("%regress guess c0*sin(a)*`or", ["`orbit class`"], ["a"]),
    ],
)
def test_completes(text, offered, not_offered):
    words = complete(text, Scope(NAMES), values_of).words
    assert set(offered) <= set(words)
    assert not set(not_offered) & set(words)


@pytest.mark.parametrize("text", ["", "df", "x = 1\n%%regress d", "%%regression ", "print('%%regress')\n"])
def test_other_cells_are_left_alone(text):
    assert complete(text, Scope(NAMES), values_of) is None


# ---- the light front


def test_loading_the_extension_loads_nothing_heavy():
    code = (
        "import sys, IPython; from IPython.core.interactiveshell import InteractiveShell as S;"
        "s = S.instance(); before = set(sys.modules); s.run_line_magic('load_ext', 'nbsr');"
        "print(sorted({m.partition('.')[0] for m in set(sys.modules) - before}"
        " & {'numpy', 'pandas', 'numba', 'scipy', 'sympy', 'torch', 'sklearn', 'altair'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_names_everything():
    text = help_text()
    assert all(name in text for name in (*OPTIONS, *KEYS))
    assert max(map(len, text.splitlines())) <= 120


def test_the_words_of_the_extension_are_those_of_the_grammar():
    written = Path(__file__).parent.parent / "widgets" / "src" / "lab" / "words.json"
    assert json.loads(written.read_text(encoding="utf-8")) == json.loads(json.dumps(words()))
