"""Queries of laws, and a result as one page."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import nbsr
from nbsr.errors import UsageError
from nbsr.expression import Expression, Vocabulary
from nbsr.result import Candidate
from nbsr.result.query import condition

NAMES = ("x1", "x2")


def law(text, fvu=0.1, source="pairs"):
    expression = Expression.parse(text, Vocabulary(NAMES))
    nan = (np.nan,) * len(expression.constants)
    return Candidate(expression, nan, fvu, expression.complexity, 1.0, source, 2.0, 0)


def holds(query, text, **settings):
    return condition(query, Vocabulary(NAMES))(law(text, **settings))


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("", "x1", True),
        ("sin(_*x1)+_", "sin(3.5*x1) + x2", True),
        ("sin(_*x1)+_", "x2 + sin(x1*x2)", True),
        ("sin(?*x1)+?", "sin(3.5*x1) + x2", True),
        ("sin(_*x1)+_", "sin(x2) + x2", False),
        ("sin(_)", "3.5*sin(x1)", True),
        ("complexity < 3", "x1 + x2", False),
        ("complexity <= 3", "x1 + x2", True),
        ("complexity = 3", "x1 + x2", True),
        ('complexity < 9 and "exp" not in law', "x1 + x2", True),
        ('complexity < 9 and "exp" not in law', "exp(x1)", False),
        ('"exp" in law', "exp(x1)", True),
        ("'pairs' == source", "x1", True),
        ("source != 'pairs'", "x1", False),
        ("source < 3", "x1", False),
        ("not sin(_)", "cos(x1)", True),
        ("sin(_) and complexity < 9 or exp(_)", "exp(x1)", True),
        ("sin(_) and (complexity < 9 or exp(_))", "exp(x1)", False),
        ("(sin(_) or exp(_)) and not (complexity > 2)", "exp(x1)", True),
        ("(sin(_))", "sin(x1)", True),
        ("(x1 + _) * x2", "(x1 + 3.5)*x2", True),
        ("constants = 1", "2.2513*x1 + 3", True),
        ("fvu < 1e-3", "x1", False),
    ],
)
def test_queries(query, text, expected):
    assert holds(query, text) is expected


@pytest.mark.parametrize(
    ("query", "says", "position"),
    [
        ("complexty < 3", "Did you mean 'complexity'?", 0),
        ("fvu <", "missing", 5),
        ("fvu < 3 and", "missing", 11),
        ("1 < fvu < 2", "Two comparisons", 8),
        ("sin(x1", "never closed", 3),
        ("sin(x1))", "never opened", 7),
        ("'abc", "never closed", 0),
        ("complexity < 3 and x3 + _", "'x3'", 19),
        ("__import__('os') < 3", "no column", 0),
        ("(" * 200 + "x1" + ")" * 200, "nested", None),
        ("x1 + " * 1000, "characters", None),
        ("not", "missing", 3),
    ],
)
def test_a_query_that_is_none_is_told_with_its_place(query, says, position):
    with pytest.raises(UsageError, match=re.escape(says)) as slip:
        condition(query, Vocabulary(NAMES))
    if position is not None:
        assert slip.value.position == position and slip.value.text == query


@pytest.fixture(scope="module", params=[NAMES, ("</script><img src=x onerror=alert(1)>", "$x$ <!--")])
def result(request):
    X = np.random.default_rng(0).uniform(0.5, 3, (80, 2))
    table = nbsr.Table.from_arrays(X, 2.5 * np.sin(X[:, 0]) + X[:, 1], request.param)
    return nbsr.regress(table, seconds=20, max_evaluations=800, method="pairs", model="none")


def test_a_result_is_queried(result):
    found = result.query("sin(_) and complexity < 12")
    assert len(found) and (found.complexity < 12).all() and found.fvu.is_monotonic_increasing
    assert all("sin" in operators.split() for operators in found.operators)
    assert len(result.query("complexity > 1000")) == 0


class Tags(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts = [], {}
        self._script = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._script = dict(attrs).get("id", "code") if tag == "script" else None

    def handle_data(self, data):
        if self._script:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data


def test_a_page_is_whole_small_and_loads_nothing(result, tmp_path):
    path = result.to_html(tmp_path / "run.html")
    text = path.read_text(encoding="utf-8")
    page = Tags(text)
    assert len(text) < 1_500_000
    assert [tag for tag, _ in page.tags].count("script") == 2 and "img" not in [tag for tag, _ in page.tags]
    for tag, attributes in page.tags:
        assert not {"src", "href"} & attributes.keys(), (tag, attributes)
    [rules] = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in rules and "http" not in rules
    told = json.loads(page.scripts["nbsr-recording"], parse_constant=lambda word: pytest.fail(word))
    assert told["format"] == "nbsr-recording" and told["version"] == 1
    assert told["packet"]["run"]["columns"] == list(result.table.names)
    front = [law["id"] for law in told["packet"]["laws"]]
    assert {c.order for c in result.front_candidates} <= set(front)
    assert [entry["law"] for entry in told["answers"]["anatomy"]]
    assert all({"latex", "numpy", "text"} <= entry["forms"].keys() for entry in told["answers"]["copy"])
    assert "onerror" not in "".join(value or "" for _, a in page.tags for value in a.values())


def test_a_saved_result_holds_what_its_page_replays_and_needs_none_of_it(result, tmp_path):
    path = result.save(tmp_path / "law.nbsr.json")
    told = json.loads(path.read_text(encoding="utf-8"))
    page = Tags(result.to_html(tmp_path / "run.html").read_text(encoding="utf-8"))
    assert told.pop("recording") == json.loads(page.scripts["nbsr-recording"])
    path.write_text(json.dumps(told), encoding="utf-8")
    assert repr(nbsr.Result.load(path)) == repr(result)


def test_a_page_that_cannot_be_written_is_a_sentence(result, tmp_path):
    with pytest.raises(UsageError, match="cannot be written"):
        result.to_html(tmp_path / "nowhere" / "run.html")
