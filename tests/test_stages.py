"""The four stages by hand: what they answer, what they say to a slip, and that every call shown runs and agrees."""

import math
import re
import struct
import subprocess
import sys

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_policy import ToyPolicy

import nbsr
from nbsr.errors import UsageError
from nbsr.expression import CONST, PAD, Constraints, Expression, Vocabulary, is_complete, legal_next
from nbsr.expression.legal import why_illegal
from nbsr.generate.base import Proposals
from nbsr.generate.sample import reshaped
from nbsr.generate.stepwise import completed, laws_of, next_token
from nbsr.model import spelled_bits
from nbsr.notebook.panels.stage_answers import Number
from nbsr.notebook.panels.stage_calls import Shape
from nbsr.notebook.panels.stage_page import StagesPage
from nbsr.notebook.panels.stages import Stages
from nbsr.refine import METHODS


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    df = pd.DataFrame(rng.uniform(0.5, 3, (60, 3)), columns=["mass", "speed", "angle"])
    df["energy"] = 0.5 * df.mass * df.speed**2 * np.sin(df.angle) + 0.01 * rng.standard_normal(60)
    return df


@pytest.fixture
def stages(frame):
    return nbsr.stages(frame, "energy ~ mass + speed + angle")


def press(tab, name):
    """Press the button of this name on a tab."""
    waiting = [tab.widget]
    while waiting:
        widget = waiting.pop()
        if isinstance(widget, ipywidgets.Button) and widget.description == name:
            return widget.click()
        waiting += getattr(widget, "children", ())
    raise AssertionError(f"there is no button {name!r}")


# -- bits


@given(st.floats(width=32))
def test_bits_are_those_of_the_machine(value):
    whole = f"{struct.unpack('>I', struct.pack('>f', value))[0]:032b}"
    if not math.isnan(value):
        assert "".join(spelled_bits(value)) == whole
        half = np.float16(np.float32(value)) if abs(value) < 6e4 else np.float16(0)
        assert "".join(spelled_bits(float(half), 16)) == f"{half.view(np.uint16):016b}"
    assert [len(part) for part in spelled_bits(value)] == [1, 8, 23]
    assert [len(part) for part in spelled_bits(value, 16)] == [1, 5, 10]


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (1.5, r"\+1\.5 × 2\^0: .* 127, counted from 127"),
        (-0.1, r"−1\.6 × 2\^-4"),
        (1e300, r"\+infinity"),
        (-math.inf, "−infinity"),
        (math.nan, "not a number"),
        (-0.0, "−0"),
        (1e-42, r"× 2\^-126: .* leading 1 is left out"),
    ],
)
def test_what_bits_add_up_to(value, meaning):
    said = Number(str(value), value, 0, *spelled_bits(value)).meaning
    assert re.search(meaning, said), said


def test_a_number_of_the_table_is_read_as_the_network_reads_it(stages):
    look = stages.look()
    for place, column in enumerate(look.order):
        name = stages.table.names[column]
        for k in (0, 7):
            number = stages.bits(row=int(look.rows[k]), column=name)
            read = struct.unpack(">f", struct.pack(">f", look.values[k, place]))[0]
            whole = number.sign + number.exponent + number.fraction
            assert struct.unpack(">f", int(whole, 2).to_bytes(4, "big"))[0] == read
            assert number.value == pytest.approx(read * 2.0**number.shift, rel=1e-6)
    assert stages.bits(row=3, column="energy").value == stages.table.y[3]


# -- one step of decoding

SMALL = Vocabulary(("a", "b"), ("+", "*", "sin", "exp"))
WISHES = {
    "free": Constraints.build(SMALL, None, 9),
    "bound": Constraints.build(SMALL, ["+", "*", "sin"], 7, ["sin(sin(?))", "b"], ["sin"]),
}


def toy(prefix):
    return np.cos(np.arange(SMALL.size) * (1.7 + len(prefix)) + sum(prefix))


@given(st.sampled_from(sorted(WISHES)), st.lists(st.integers(0, 50), max_size=8), st.integers(1, 9))
@settings(max_examples=80)
def test_there_is_a_reason_where_a_token_is_illegal_and_only_there(which, choices, longest):
    constraints, prefix = WISHES[which], ()
    for number in choices:
        legal = np.flatnonzero(legal_next(prefix, SMALL, constraints, longest))
        if not len(legal) or legal[0] == PAD:
            break
        prefix = (*prefix, int(legal[number % len(legal)]))
    legal = legal_next(prefix, SMALL, constraints, longest)
    for token in range(SMALL.size):
        why = why_illegal(token, prefix, SMALL, constraints, longest)
        assert (why == "") == bool(legal[token]), (prefix, token, why)
        assert not why or why.endswith(".")


@pytest.mark.parametrize(
    ("token", "prefix", "longest", "why"),
    [
        ("exp", "", 7, "'exp' is not among the operators that are allowed"),
        ("b", "", 7, "'b' is not among the columns that are allowed"),
        ("sin", "sin", 7, "would make a part that is forbidden"),
        ("a", "", 7, "leave no way to what is required"),
        ("+", "+ sin", 4, "needs 5 more tokens|needs 4 more tokens"),
        ("a", "sin a", 7, "The law is complete"),
    ],
)
def test_reasons(token, prefix, longest, why):
    tokens = tuple(SMALL.id(name) for name in prefix.split())
    assert re.search(why, why_illegal(SMALL.id(token), tokens, SMALL, WISHES["bound"], longest))


@pytest.mark.parametrize("shape", [{}, {"temperature": 0.3}, {"top_k": 2}, {"top_p": 0.5}])
def test_a_choice_is_the_policy_under_the_mask_reshaped(shape):
    prefix, constraints = (SMALL.id("+"),), WISHES["free"]
    choice = next_token(ToyPolicy(SMALL, toy), prefix, SMALL, constraints, 3, **shape)
    plain = np.exp(toy(prefix)) / np.exp(toy(prefix)).sum()
    np.testing.assert_allclose(choice.plain, plain)
    np.testing.assert_array_equal(choice.legal, legal_next(prefix, SMALL, constraints, 3))
    masked = np.where(choice.legal, plain, 0)
    np.testing.assert_allclose(choice.masked, masked / masked.sum())
    with np.errstate(divide="ignore"):
        drawn_from = np.exp(reshaped(np.log(choice.masked)[None], **shape)[0])
    np.testing.assert_allclose(choice.shaped, drawn_from)
    assert choice.value is None
    tokens = [choice.drawn(np.random.default_rng(seed)) for seed in range(400)]
    share = np.bincount(tokens, minlength=SMALL.size) / 400
    assert not share[choice.shaped == 0].any() and abs(share - choice.shaped).max() < 0.1


def test_a_law_that_is_completed_is_legal_and_repeatable():
    policy = ToyPolicy(SMALL, toy)
    for seed in range(20):
        law = completed(policy, (SMALL.id("+"),), SMALL, WISHES["bound"], np.random.default_rng(seed), 7)
        assert law[0] == SMALL.id("+") and WISHES["bound"].allows(law)
        again = completed(policy, (SMALL.id("+"),), SMALL, WISHES["bound"], np.random.default_rng(seed), 7)
        assert law == again


def test_a_method_is_pulled_to_its_end_and_told_the_fits():
    told = []

    def method():
        told.append((yield Proposals(np.array([[2, 6, 7], [6, 0, 0]]), None, "toy", np.array([-1.0, -2.0]))))
        told.append((yield Proposals(np.zeros((0, 1), np.int64), None, "toy")))
        told.append((yield Proposals(np.array([[7]]), None, "toy")))

    found = laws_of(method(), lambda batch: len(batch))
    assert [one.tokens for one in found] == [(2, 6, 7), (6,), (7,)]
    assert [one.log_prob for one in found][:2] == [-1, -2] and math.isnan(found[2].log_prob)
    assert told == [2, None, 1]


# -- the stages


def test_attention_is_shared_out_among_the_rows(stages):
    look = stages.look()
    heads, seeds, rows = look.attention.shape
    assert rows == len(look.rows) == len(set(look.rows.tolist())) == 32
    np.testing.assert_allclose(look.attention.sum(axis=2), 1, rtol=1e-5)
    targets = stages.table.response[look.rows]
    assert (np.diff(targets) >= 0).all()
    np.testing.assert_allclose(look.values[:, -1], targets / 2.0 ** look.exponents[-1], rtol=1e-6)
    chances = list(stages.odds().values())
    assert chances == sorted(chances, reverse=True) and 0 <= chances[-1] <= chances[0] <= 1


def test_shuffled_rows_have_the_same_code(stages, frame):
    first, second = stages.shuffle(), stages.shuffle()
    for found in (first, second):
        assert found.table < 1e-5 and found.rows < 1e-4 and found.broken > 0.1
    assert first.broken != second.broken
    assert Stages(frame, "energy ~ mass + speed + angle").shuffle() == first


def test_a_law_is_decoded_by_hand(stages):
    assert stages.force("*") == "?*?"
    assert stages.force("mass") == "mass*?"
    branches = stages.tree()
    assert [branch.token for branch in branches] == [*stages.prefix, None]
    probabilities = [dict(branch.others) | {branch.token: branch.probability} for branch in branches]
    assert all(sum(step.values()) < 2 for step in probabilities)
    expected = math.log(branches[0].probability) + math.log(branches[1].probability)
    assert stages.log_prob(stages.prefix) == pytest.approx(expected)
    assert stages.rewind() == "?*?"
    assert stages.rewind(5) == "?"
    for token in ("+", "c", "speed"):
        stages.force(token)
    assert stages.complete and [str(one) for one in stages.candidates] == ["c0 + speed"]
    assert stages.candidates[0].chosen and stages.candidates[0].source == "by hand"
    assert stages.candidates[0].log_prob == pytest.approx(stages.log_prob(stages.prefix))


def test_what_is_drawn_is_repeatable(frame):
    laws = []
    for _ in range(2):
        one = Stages(frame, "energy ~ .", seed=3)
        laws.append((one.draw(), one.finish(), one.prefix))
        one.prefix = ()
        laws[-1] += (one.finish(),)
    assert laws[0] == laws[1] and laws[0][1] != laws[0][3]


@pytest.mark.parametrize("search", ["beam", "mcts"])
def test_a_search_goes_on_from_the_prefix(stages, search):
    stages.force("*")
    stages.force("speed")
    found = stages.beam(6) if search == "beam" else stages.mcts(24)
    assert found and all(one.tokens[:2] == stages.prefix for one in found)
    assert all(is_complete(one.tokens, stages.vocabulary.arities) for one in found)
    assert 1 <= len(stages.chosen) <= 3
    before = [str(one) for one in stages.candidates]
    again = stages.beam(6) if search == "beam" else stages.mcts(24)
    assert [one.tokens for one in again] == [one.tokens for one in found]
    assert [str(one) for one in stages.candidates] == before


def test_candidates_that_say_the_same_are_one(stages):
    stages.add("2*mass*speed")
    assert str(stages.add("c7*speed*mass")) == "c0*mass*speed"
    assert len(stages.candidates) == 1
    stages.choose([])
    assert stages.chosen == []
    stages.forget()
    assert stages.candidates == []


LAW = "2*mass*speed^2*sin(angle) + c1"


def test_every_method_refines_and_the_climb_ends_where_the_refinement_does(stages):
    stages.add(LAW)
    found = stages.refine(tuple(METHODS), restarts=3, steps=60)
    assert [one.method for one in found] == list(METHODS)
    for one in found:
        assert one.fvu == pytest.approx(found[0].fvu, rel=1e-3) and one.seconds > 0 and one.passes > 0
        assert one.law.constants[0] == pytest.approx(0.5, abs=0.01)
    path = stages.path(0)
    assert path.fvu[path.chosen, -1] == pytest.approx(found[0].fvu, rel=1e-6)
    np.testing.assert_allclose(path.constants[path.chosen, -1], found[0].law.constants, atol=1e-6)


def test_the_score_is_its_formula_and_the_price_decides(stages):
    for law in (LAW, "c0*mass", "mass*speed", "c0*speed + c1*mass*speed", "log(-mass)"):
        stages.add(law)
    found = stages.score(0.05)
    known = np.isfinite(found.fvu)
    assert not known[4] and found.complexity.tolist() == [
        Expression.parse(str(one), stages.vocabulary, free_constants=True).complexity for one in stages.candidates
    ]  # fmt: skip
    expected = np.log10(np.maximum(found.fvu[known], np.finfo(float).eps)) + 0.05 * found.complexity[known]
    np.testing.assert_allclose(found.value[known], expected)
    order = np.argsort(found.value, kind="stable")
    assert (found.picked, found.runner_up) == (order[0], order[1])
    for number, law in enumerate(found.laws[:4]):
        residual = law.predict(stages.table.X) - stages.table.y
        assert (residual**2).mean() / stages.table.y.var() == pytest.approx(found.fvu[number], rel=1e-9)
    assert stages.score(0.0).picked == np.argmin(found.fvu)
    dear = stages.score(5.0)
    assert dear.complexity[dear.picked] == dear.complexity[np.isfinite(dear.fvu)].min()
    assert found.picks["parsimony"] == found.picked and found.picked in found.front


# -- the calls as text

ODD = {"mass": 'm "1" $x$', "speed": "v <b> \\ \N{GREEK SMALL LETTER OMEGA}", "angle": "a'#", "energy": "E"}


@pytest.mark.parametrize("odd", [False, True])
def test_every_call_that_is_shown_runs_and_gives_the_same(frame, odd):
    df = frame.rename(columns=ODD) if odd else frame
    formula = "E ~ ." if odd else "energy ~ mass + speed + angle"
    wishes = {"operators": "+ * sin pow2", "forbid": ("sin(sin(?))",)} if odd else {}
    stages = Stages(df, formula, seed=2, max_complexity=14, **wishes)

    def ran(name):
        text = stages.code[name]
        assert max(map(len, text.splitlines())) < 200
        namespace = {"df": df}
        exec(compile(text, name, "exec"), namespace)
        return namespace

    for asked in (
        {"number": "-1e-3"},
        {"number": "-inf"},
        *({"row": 5, "column": stages.columns[k]} for k in (1, 3)),
    ):
        number = stages.bits(**asked)
        ns = ran("bits")
        assert (ns["sign"], ns["exponent"], ns["fraction"]) == (number.sign, number.exponent, number.fraction)
    look = stages.look()
    ns = ran("look")
    np.testing.assert_array_equal(ns["look"].rows, look.rows)
    np.testing.assert_allclose(ns["look"].attention, look.attention, atol=1e-6)
    odds = stages.odds()
    assert ran("odds")["odds"] == pytest.approx(odds, abs=1e-6)
    found = stages.shuffle()
    ns = ran("shuffle")
    assert (ns["of_table"], ns["of_rows"], ns["of_broken"]) == pytest.approx(
        (found.table, found.rows, found.broken), abs=1e-5
    )
    stages.shape = Shape(12, 0.8, 20, 0.95)
    stages.force("+")
    choice = stages.choice()
    np.testing.assert_allclose(ran("choice")["choice"].shaped, choice.shaped, atol=1e-6)
    stages.draw()
    assert ran("decode")["token"] == stages.prefix[-1]
    stages.finish()
    assert ran("decode")["law"] == stages.prefix
    stages.prefix = stages.prefix[:1]
    beam = stages.beam(4)
    assert [one.tokens for one in ran("search")["found"]] == [one.tokens for one in beam]
    trees = stages.mcts(12)
    assert [one.tokens for one in ran("search")["found"]] == [one.tokens for one in trees]
    stages.forget()
    for tokens in (
        (stages.vocabulary.id("+"), CONST, stages.vocabulary.variable(0)),
        (stages.vocabulary.variable(1),),
    ):
        stages.prefix = tokens[:-1]
        stages.force(tokens[-1])
    refined = stages.refine(("lm", "trf"), restarts=2)
    fits = ran("refine")["fits"]
    assert [float(fits[one.number, one.method].fvu[0]) for one in refined] == pytest.approx(
        [one.fvu for one in refined], rel=1e-9
    )
    path = stages.path(0)
    np.testing.assert_allclose(ran("path")["path"].fvu, path.fvu)
    score = stages.score(0.02)
    ns = ran("score")
    np.testing.assert_allclose(ns["value"], score.value)
    assert ns["picked"] == score.picked and ns["picks"] == score.picks and tuple(ns["front"]) == score.front


def test_a_large_table_is_sampled_and_the_text_says_so(frame):
    long = pd.concat([frame] * 20, ignore_index=True)
    wide = pd.DataFrame(
        np.random.default_rng(0).normal(size=(1200, 30)), columns=[f"z{k}" for k in range(30)]
    )
    stages = Stages(pd.concat([long, wide], axis=1), "energy ~ .", seed=1)
    assert len(stages.table) == 1000 and len(stages.table.names) == 24
    assert any("1,000 of the 1,200 rows" in note for note in stages.notes)
    assert ".screen(24)" in stages._calls.choice((), "?", Shape())
    assert len(stages.left_out) == 14
    with pytest.raises(UsageError, match="is not told column"):
        stages.bits(column=stages.left_out[0])
    page = StagesPage(stages)
    page.book.selected_index = 1
    assert "is not told of" in page.decode.said.value


# -- slips

SLIPS = [
    (lambda s: s.bits("1e"), "'1e' is no number; type one such as"),
    (lambda s: s.bits(row=99), "rows 0 to 59; there is no row 99"),
    (lambda s: s.bits(column="mas"), "no column 'mas'"),
    (lambda s: s.force("tanx"), "no operator or column 'tanx'"),
    (lambda s: s.force(999), "no token 999"),
    (lambda s: s.force("max"), "'max' is not among the operators that are allowed"),
    (lambda s: s.rewind(), "The law is empty"),
    (lambda s: (s.force("mass"), s.force("mass")), "The law is complete"),
    (lambda s: (s.force("mass"), s.beam()), "The law is complete"),
    (lambda s: s.beam(0), "'width' is 0"),
    (lambda s: s.mcts(0), "'simulations' is 0"),
    (lambda s: s.refine(), "no candidates yet"),
    (lambda s: (s.add("mass"), s.choose([]), s.refine()), "No candidate is chosen"),
    (lambda s: (s.add("mass"), s.refine(())), "No method is chosen"),
    (lambda s: (s.add("mass"), s.refine(("bgfs",))), "no refiner 'bgfs'"),
    (lambda s: (s.add("mass"), s.path(0)), "has no constants"),
    (lambda s: s.path(3), "There is no candidate 3"),
    (lambda s: s.add("2*+mass)"), "."),
    (lambda s: s.score(), "no candidates yet"),
    (lambda s: (s.add("log(-mass)"), s.score()), "No candidate is finite"),
    (lambda s: (s.add("mass"), s.score(-1.0)), "The parsimony is -1.0"),
]


@pytest.mark.parametrize(("act", "said"), SLIPS)
def test_a_slip_is_a_sentence(stages, act, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        act(stages)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (Shape(temperature=0.0), "The temperature is 0.0; give a positive number"),
        (Shape(top_k=-1), "'top_k' is -1"),
        (Shape(top_p=0.0), "'top_p' is 0.0"),
        (Shape(max_length=0), "No law of at most 0 tokens"),
    ],
)
def test_settings_that_make_no_sense(stages, shape, said):
    stages.shape = shape
    with pytest.raises(UsageError, match=said):
        stages.draw()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("no frame", "y ~ x"), "."),
        (({"x": [1.0, 2, 3], "y": [1.0, 4, 9]}, "y ~ + x )"), "."),
        (({"x": [1.0, 2, 3], "y": [1.0, 4, 9]}, "y ~ z"), "There is no column 'z'|no column"),
        (({"x": [1.0, 2, 3], "y": [1.0, 4, 9]}, "y ~ x", "forbid", ("sin(",)), "."),
        (({"x": [1.0, 2, 3], "y": [1.0, 4, 9]}, "y ~ x", "seed", -1), "'seed' is -1"),
    ],
)
def test_a_table_that_cannot_be_used_is_a_sentence_without_a_traceback(arguments, said):
    data, formula, *more = arguments
    with pytest.raises(UsageError, match=said) as raised:
        nbsr.stages(data, formula, **dict([more] if more else []))
    lines = raised.value._render_traceback_()
    assert len(lines) == 1 and "Traceback" not in lines[0]


def test_without_a_network_laws_are_typed_refined_and_scored(frame):
    stages = nbsr.stages(frame, "energy ~ mass + speed + angle", model="none")
    page = StagesPage(stages)
    for place, tab in enumerate((page.encode, page.decode)):
        page.book.selected_index = place
        assert "This stage asks a network, and model &#x27;none&#x27; leaves it out" in tab.said.value
    page.book.selected_index = 2
    page.refine.typed.value = LAW
    press(page.refine, "Add it")
    press(page.refine, "Refine")
    assert "The best FVU is" in page.refine.said.value and "<svg" in page.refine.climb.value
    page.book.selected_index = 3
    assert "picked" in page.score.picture.value and page.score.said.value == ""


# -- the page, without a browser


def test_the_page_has_four_tabs(stages):
    page = StagesPage(stages)
    assert page.book.titles == ("1 Encode", "2 Decode", "3 Refine", "4 Score")


def test_the_page_walks_through_the_stages(stages):
    page = StagesPage(stages)
    assert "Shuffling 1" in page.encode.shuffled.value and "<svg" in page.encode.map.value
    page.encode.number.value = "nan"
    assert "not a number" in page.encode.bits.value
    page.encode.number.value = "1e"
    assert "&#x27;1e&#x27; is no number" in page.encode.said.value
    page.encode.number.value = ""
    assert page.encode.said.value == "" and "<figcaption>fraction" in page.encode.bits.value
    page.encode.head.value = 1
    assert "Head 2" in page.encode.map.value

    page.book.selected_index = 1
    decode = page.decode
    assert "before the mask" in decode.choices.value and decode.token.value is not None
    decode.temperature.value = 0
    assert "The temperature is 0.0" in decode.said.value
    decode.temperature.value = 1
    assert decode.said.value == ""
    decode.token.value = PAD
    press(decode, "Force it")
    assert "The law cannot end here" in decode.said.value
    press(decode, "Draw a token")
    assert stages.prefix
    press(decode, "Complete the law")
    assert stages.complete and "The law is complete" in decode.choices.value
    press(decode, "Draw a token")
    assert "take a token back" in decode.said.value
    press(decode, "Take one back")
    press(decode, "Begin anew")
    assert stages.prefix == ()
    decode.longest.value = 3
    decode.width.value = 4
    press(decode, "Beam search")
    assert "The beam found" in decode.said.value and all(
        len(one.law.tokens) <= 3 for one in stages.candidates[1:]
    )

    page.book.selected_index = 3
    assert "picked" in page.score.picture.value
    before = page.score.picture.value
    page.score.parsimony.value = 0.5
    assert page.score.picture.value != before and "parsimony=0.5" in page.score.call.text.value

    page.book.selected_index = 2
    page.refine.chosen.value = ()
    press(page.refine, "Refine")
    assert "No candidate is chosen" in page.refine.said.value
    page.refine.typed.value = "c0*nothing"
    press(page.refine, "Add it")
    assert "nothing" in page.refine.said.value
    page.book.selected_index = 1
    press(decode, "Forget them")
    page.book.selected_index = 3
    assert "no candidates yet" in page.score.said.value and page.score.picture.value == ""


def test_the_page_shows_names_and_never_runs_them(frame):
    df = frame.rename(columns={"mass": "<img src=x onerror=alert(1)>", "energy": "E & $y$"})
    stages = Stages(df, "`E & $y$` ~ .")
    page = StagesPage(stages)
    page.book.selected_index = 1
    press(page.decode, "Beam search")
    for place in (2, 3):
        page.book.selected_index = place
    press(page.refine, "Refine")
    texts = [
        widget.value for tab in page.tabs for widget in vars(tab).values() if hasattr(widget, "placeholder")
    ]
    assert any("&lt;img" in text for text in texts)
    assert not any("<img" in text or "$y" in text for text in texts)


def test_stages_are_shown_by_ipywidgets_and_said_in_text(stages):
    bundle = stages._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == "Stages('energy ~ mass + speed + angle', law so far '?', 0 candidates)"


def test_a_program_that_uses_the_stages_loads_no_widgets(frame):
    script = (
        "import sys, nbsr\n"
        "s = nbsr.stages({'x': [1., 2, 3, 4], 'y': [2., 4, 6, 8]}, 'y ~ x', model='none')\n"
        "print('ipywidgets' in sys.modules, 'torch' in sys.modules, s)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.startswith("False False Stages(")
