"""Where a search computes: torch against the compiled kernels, the memory it takes, and the words for devices.

The code of an accelerator runs here on the processor, device "torch".
"""

import time
import weakref

import numpy as np
import pytest
import torch
from test_refine import LAWS, VOCABULARY, table
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import nbsr.refine as nr
from nbsr import SymbolicRegressor, devices
from nbsr.backend import Backend, BySize, Compiled, backend_of
from nbsr.backend.accelerated import Accelerated
from nbsr.cli import main
from nbsr.devices import DeviceFull, Memory
from nbsr.engine import regress
from nbsr.errors import UsageError
from nbsr.evaluate import compile_programs, evaluate, evaluate_torch, jacobian, jacobian_torch
from nbsr.expression import CONST, Expression
from nbsr.generate.screening import Blocks, standardised
from nbsr.operators import BUILT_IN, OPERATORS
from nbsr.refine import Problem, Status, refine


@pytest.fixture(scope="module", autouse=True)
def compiled():
    nr.warm(background=False)


@pytest.fixture
def on_torch():
    return Accelerated("torch")


def random_laws(count, seed, depth=4, operators=BUILT_IN):
    """Prefix tokens of random laws, a constant at every third leaf or so."""
    rng = np.random.default_rng(seed)

    def grown(room):
        if room == 0 or rng.random() < 0.15:
            return [CONST if rng.random() < 0.35 else VOCABULARY.variable(int(rng.integers(3)))]
        name = operators[rng.integers(len(operators))]
        parts = [grown(room - 1) for _ in range(OPERATORS[name].arity)]
        return [VOCABULARY.id(name), *(token for part in parts for token in part)]

    laws = [grown(depth) for _ in range(count)]
    tokens = np.zeros((count, max(map(len, laws))), np.int16)
    for row, law in enumerate(laws):
        tokens[row, : len(law)] = law
    return tokens


# -- evaluation ---------------------------------------------------------------------------------------------------


def test_values_and_derivatives_of_all_operators_are_those_of_the_kernels(on_torch):
    tokens = random_laws(400, seed=1)
    programs = compile_programs(tokens, VOCABULARY)
    rng = np.random.default_rng(2)
    constants = rng.uniform(0.5, 2, (len(tokens), max(1, programs.n_constants.max())))
    X = rng.uniform(0.2, 3, (37, 3))
    values, slopes = evaluate(programs, constants, X), jacobian(programs, constants, X)[1]
    found = on_torch.evaluate(programs, constants, X)
    told = {VOCABULARY.name(t) for t in np.unique(tokens).tolist() if VOCABULARY.is_operator(t)}
    assert told == set(BUILT_IN)
    # what is next to the edge of a domain, or lost to rounding, may fall on either side
    np.testing.assert_array_less(np.mean(np.isfinite(values) != np.isfinite(found)), 1e-3)
    both = np.isfinite(values) & np.isfinite(found)
    near = np.isclose(found, values, rtol=1e-9, atol=1e-12)
    assert np.mean(near[both]) > 0.995
    derivatives = jacobian_torch(programs, constants, X)[1].numpy()
    both = np.isfinite(slopes) & np.isfinite(derivatives)
    assert both.mean() > 0.6
    assert np.mean(np.isclose(derivatives, slopes, rtol=1e-7, atol=1e-9)[both]) > 0.99


def test_parts_of_a_batch_have_the_values_of_the_whole():
    tokens = random_laws(60, seed=3)
    programs = compile_programs(tokens, VOCABULARY)
    constants, X = (
        np.full((60, programs.n_constants.max()), 1.5),
        np.random.default_rng(4).normal(size=(50, 3)),
    )
    small = Accelerated("torch", Memory("torch", 200_000))
    # vectors end elsewhere, so that the last digit may differ
    np.testing.assert_allclose(
        small.evaluate(programs, constants, X),
        Accelerated("torch").evaluate(programs, constants, X),
        rtol=1e-12,
    )
    assert 100_000 < small.memory.peak <= small.memory.budget == 200_000


# -- refinement ---------------------------------------------------------------------------------------------------


def same_fit(found, expected):
    """Whether two FVUs are equal to 1e-6, or both at the level of rounding."""
    return (found <= 1e-24) & (expected <= 1e-24) | np.isclose(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("how", ["plain", "weights", "fixed"])
def test_constants_of_laws_are_those_that_the_kernels_find(on_torch, noise, how):
    for text, *ranges in LAWS if how == "plain" else LAWS[::2]:
        law, tokens, X, y = table(text, *ranges, noise=noise)
        wishes = {}
        if how == "fixed":
            held = np.arange(len(law.constants)) == 0
            wishes = {"starts": np.where(held, law.constants, np.nan)[None], "fixed": held[None]}
        weights = np.random.default_rng(5).uniform(0, 2, len(y)) if how == "weights" else None
        expected = refine(tokens, (X, y, weights), VOCABULARY, restarts=16, **wishes)
        found = refine(tokens, (X, y, weights), VOCABULARY, restarts=16, climber=on_torch, **wishes)
        assert same_fit(found.fvu, expected.fvu).all(), (text, found.fvu, expected.fvu)
        if how == "fixed":
            assert found.constants[0, 0] == law.constants[0]
        if noise:
            assert found.status[0] == expected.status[0]


@pytest.mark.parametrize("rows", [40, 700])
def test_a_crowd_of_random_laws(on_torch, rows):
    """Most find the same from the same starts; where many minima are, rounding decides which one is met."""
    operators = [name for name in BUILT_IN if name not in ("sign", "erf", "sigmoid")]
    tokens = random_laws(120, seed=6, depth=3, operators=operators)
    rng = np.random.default_rng(7)
    X = rng.uniform(0.5, 3, (rows, 3))
    y = 2 * X[:, 0] / X[:, 1] + np.exp(-0.3 * X[:, 2]) + 0.05 * rng.normal(size=rows)
    problem = Problem.of(X, y)
    expected = refine(tokens, problem, VOCABULARY, restarts=4)
    found = refine(tokens, problem, VOCABULARY, restarts=4, climber=on_torch)
    assert np.mean(np.isfinite(found.fvu) == np.isfinite(expected.fvu)) > 0.97
    both = np.isfinite(found.fvu) & np.isfinite(expected.fvu)
    assert both.sum() > 60
    assert np.mean(same_fit(found.fvu, expected.fvu)[both]) > 0.93
    # in a bad minimum as often as the kernels
    assert abs(np.mean(np.log(found.fvu[both] / expected.fvu[both]))) < 0.05
    assert np.mean(found.status == expected.status) > 0.93
    values = evaluate(compile_programs(tokens[both], VOCABULARY), np.nan_to_num(found.constants[both]), X)
    np.testing.assert_allclose(np.mean((values - y) ** 2, axis=1) / np.var(y), found.fvu[both], rtol=1e-8)


def test_a_law_finds_the_same_in_any_company_and_any_memory(on_torch):
    tokens = random_laws(40, seed=8, depth=3)
    X = np.random.default_rng(9).uniform(0.5, 3, (100, 3))
    problem = Problem.of(X, X[:, 0] ** 1.7 / (1 + X[:, 1]))
    whole = refine(tokens, problem, VOCABULARY, restarts=4, climber=on_torch)
    tight = Accelerated("torch", Memory("torch", 1_500_000))
    parts = refine(tokens, problem, VOCABULARY, restarts=4, climber=tight)
    alone = [
        refine(tokens[k : k + 1], problem, VOCABULARY, restarts=4, climber=on_torch).fvu[0] for k in range(40)
    ]
    assert 1_000_000 < tight.memory.peak <= 1_500_000
    assert np.mean(same_fit(parts.fvu, whole.fvu) | ~np.isfinite(whole.fvu)) > 0.95
    assert np.mean(same_fit(np.array(alone), whole.fvu) | ~np.isfinite(whole.fvu)) > 0.95


@pytest.mark.parametrize("exponent", [-300, -150, 150, 300])
@pytest.mark.parametrize("text", ["c0*exp(c1*x1) + c2", "c0*x1/(c1 + x1)"])
def test_any_magnitude(on_torch, text, exponent):
    law = Expression.parse(text, VOCABULARY, free_constants=True)
    X = np.random.default_rng(0).uniform(1, 5, (100, 3))
    y = Expression(law.tokens, (3.0, -0.7, 2.0)[: len(law.constants)], VOCABULARY).predict(X) * 10.0**exponent
    assert refine(np.array([law.tokens]), (X, y), VOCABULARY, climber=on_torch).fvu[0] <= 1e-24


def test_single_precision_races_and_double_precision_ends():
    single = Accelerated("torch", dtype=np.float32)
    assert not single.precise
    for text, *ranges in LAWS[:2] + LAWS[8:20]:
        _, tokens, X, y = table(text, *ranges)
        fits = refine(tokens, (X, y), VOCABULARY, restarts=16, climber=single)
        assert fits.fvu[0] <= 1e-24, text
        assert fits.status[0] == Status.EXACT


def test_nothing_is_begun_after_the_deadline(on_torch):
    _, tokens, X, y = table("3*exp(-0.5*x1) + 2")
    fits = refine(tokens, (X, y), VOCABULARY, climber=on_torch, deadline=time.monotonic() - 1)
    assert fits.status.tolist() == [Status.NOT_REACHED]


# -- memory -------------------------------------------------------------------------------------------------------


class Watched(TorchDispatchMode):
    """Adds up what tensors take, and remembers the most."""

    def __init__(self):
        super().__init__()
        self.held, self.most, self.known = 0, 0, {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        answer = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(answer):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.known:
                    gone = weakref.ref(storage, lambda _, key=storage._cdata: self.gone(key))
                    self.known[storage._cdata] = storage.nbytes(), gone
                    self.held += storage.nbytes()
                    self.most = max(self.most, self.held)
        return answer

    def gone(self, key):
        self.held -= self.known.pop(key)[0]


def test_tensors_stay_within_what_was_reckoned():
    tokens = random_laws(40, seed=10, depth=4)
    X = np.random.default_rng(11).uniform(0.5, 3, (400, 3))
    problem = Problem.of(X, np.sqrt(X[:, 0]) * X[:, 1], np.ones(400))
    memory = Memory("torch", 3_000_000)
    with Watched() as watched:
        refine(tokens, problem, VOCABULARY, restarts=2, max_steps=6, climber=Accelerated("torch", memory))
    assert 1_000_000 < watched.most <= memory.budget
    programs = compile_programs(tokens, VOCABULARY)
    constants = np.ones((len(tokens), programs.n_constants.max()))
    for ask in (evaluate_torch, jacobian_torch):
        with Watched() as watched:
            answer = ask(programs, constants, X, memory=Memory("cpu", 2_000_000))
        kept = sum(t.nbytes for t in tree_leaves(answer))
        assert 500_000 < watched.most - kept <= 2_000_000
    H = standardised(np.random.default_rng(12).normal(size=(900, 60)), np.ones(60))
    with Watched() as watched:
        Accelerated("torch", Memory("torch", 1_000_000)).best_sums(H, H[0], 50)
    assert 300_000 < watched.most <= 1_000_000 < 4 * 900**2


def test_a_device_that_is_full_gets_smaller_parts():
    memory, tried = Memory("cuda", 1000), []

    def work():
        tiles = memory.tiles(np.full(10, 100))
        tried.append(len(tiles))
        if len(tiles) < 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return "done"

    assert memory.sparing(work) == "done"
    assert tried == [1, 2, 5]
    with pytest.raises(RuntimeError, match="other"):
        memory.sparing(lambda: (_ for _ in ()).throw(RuntimeError("other")))


def test_where_nothing_fits_the_processor_goes_on():
    choice = BySize(Compiled(), Accelerated("torch", Memory("torch", 5_000)), 0.0)
    _, tokens, X, y = table("3*exp(-0.5*x1) + 2")
    assert choice.said == () and choice.name == "torch"
    assert refine(tokens, (X, y), VOCABULARY, climber=choice).fvu[0] <= 1e-24
    assert choice.name == "cpu"
    (said,) = choice.said
    assert said.startswith("The search went on on the processor. The smallest part of a batch needs 0.0")
    with pytest.raises(DeviceFull, match="device 'torch' may give 0.00477 MB; give fewer rows"):
        choice.large.best_sums(np.ones((2000, 10), np.float32), np.ones(10), 10)


class Counted(Compiled):
    """Counts what it is asked."""

    def __init__(self):
        self.climbs = self.screens = 0

    def climb(self, climb, jobs):
        self.climbs += 1
        return super().climb(climb, jobs)

    def best_sums(self, H, z, size, must=None):
        self.screens += 1
        return super().best_sums(H, z, size, must)


def test_size_decides():
    for worth, goes in ((100.0, True), (1e12, False)):
        large = Counted()
        _, tokens, X, y = table("3*exp(-0.5*x1) + 2")
        refine(tokens, (X, y), VOCABULARY, climber=BySize(Compiled(), large, worth))
        assert (large.climbs > 0) == goes


# -- pairs --------------------------------------------------------------------------------------------------------


def assert_same_pairs(found, expected, score):
    """The same pairs in the same order, but where scores are equal to rounding."""
    assert found.shape == expected.shape
    a, b = (np.array([score(i, j) for i, j in pairs]) for pairs in (found, expected))
    np.testing.assert_allclose(a, b, rtol=2e-5)
    sure = {tuple(sorted(pair)) for pair, s in zip(expected.tolist(), b) if s > b.min() * (1 + 1e-4)}
    assert sure <= {tuple(sorted(pair)) for pair in found.tolist()}
    assert len(sure) >= len(expected) // 2


@pytest.mark.parametrize("terms", [3, 50, 700])
@pytest.mark.parametrize("budget", [1 << 28, 300_000])
@pytest.mark.parametrize("must", [False, True])
def test_the_best_sums_are_those_of_the_kernels(terms, budget, must):
    rng = np.random.default_rng(terms)
    values = rng.normal(size=(terms, 12)) + rng.normal(size=12)
    z = values[0] + 2 * values[-1] + 0.5 * rng.normal(size=12)
    weight = rng.uniform(0.5, 2, 12)
    H, unit = standardised(values, weight), standardised(z[None], weight)[0]
    required = np.arange(terms) % 5 == 0 if must else None
    screen = Accelerated("torch", Memory("torch", budget + 4 * H.size))
    size = min(40, terms)
    found, expected = (s.best_sums(H, unit, size, required) for s in (screen, Blocks()))
    pairs = len(expected) - min(terms, max(8, size // 4))

    def explained(i, j):
        columns = H[[i, j]].astype(float).T
        rest = unit - columns @ np.linalg.lstsq(columns, unit, rcond=None)[0]
        return 1 - rest @ rest / (unit @ unit)

    assert_same_pairs(found[:pairs], expected[:pairs], explained)
    np.testing.assert_array_equal(np.sort(found[pairs:]), np.sort(expected[pairs:]))
    assert screen.memory.peak <= screen.memory.budget


@pytest.mark.parametrize("units", [False, True])
def test_the_best_products_are_those_of_the_kernels(units):
    rng = np.random.default_rng(13)
    values = rng.normal(size=(300, 25)) * 10.0 ** rng.integers(-3, 4, (300, 1))
    z, weight = values[7] * values[200] + rng.normal(size=25) * np.std(values[7] * values[200]), np.ones(25)
    marks = rng.integers(0, 3, 300) * 0.7 if units else None
    mark = marks[7] + marks[200] if units else np.nan
    screen = Accelerated("torch", Memory("torch", 400_000))
    found, expected = (s.best_products(values, z, weight, 30, marks, mark) for s in (screen, Blocks()))

    def explained(i, j):
        return np.corrcoef(values[i] * values[j], z)[0, 1] ** 2

    assert_same_pairs(found, expected, explained)
    if units:
        assert np.allclose(marks[found].sum(axis=1), mark)


# -- whole searches -----------------------------------------------------------------------------------------------


def frame_of(text, noise=0.0, rows=80):
    import pandas as pd

    _, _, X, y = table(text, rows=rows, noise=noise)
    return pd.DataFrame({"x1": X[:, 0], "x2": X[:, 1], "x3": X[:, 2], "y": y})


SHORT = {"seconds": 60, "max_evaluations": 130, "model": "none"}
PROBLEMS = [
    ("2.5*x1*x2/x3", {"method": "pairs"}),
    ("3*exp(-0.7*x1) + x2", {"method": "auto", "max_evaluations": 80}),
    ("x1**2 + 2*x2", {"method": "evolve"}),
    ("1.3*x1 + 0.4", {"method": "evolve", "loss": "huber"}),
    ("x1*x2", {"method": "exhaustive", "max_evaluations": 400}),
    ("x1/(1.7 + x2)", {"method": "softmax", "choices": 48, "model": None}),
]


@pytest.mark.parametrize("text, settings", PROBLEMS, ids=lambda value: str(value)[:24])
def test_a_search_on_a_device_finds_the_law_of_the_processor(text, settings):
    data = frame_of(text, noise=0.01 if "loss" in settings else 0.0)
    results = [
        regress(data, "y ~ .", **{**SHORT, **settings, "device": device}) for device in ("cpu", "torch")
    ]
    first, second = (result.best.expression.infix(digits=6) for result in results)
    assert first == second
    assert results[1].settings["device"] == "torch"


def test_where_there_is_no_accelerator_nothing_changes():
    if devices.accelerator() is not None:
        pytest.skip("there is one")
    assert isinstance(backend_of("auto"), Compiled)
    settings = {**SHORT, "method": "evolve"}
    found = [
        regress(frame_of("x1**2 + 2*x2"), "y ~ .", device=device, **settings) for device in ("auto", "cpu")
    ]
    first, second = ([(c.expression, c.fvu) for c in result.candidates_seen] for result in found)
    assert first == second and len(first) > 20


def test_where_there_is_one_small_batches_stay_and_large_ones_go(monkeypatch):
    monkeypatch.setattr(devices, "accelerator", lambda: "torch")
    found = backend_of("auto")
    assert isinstance(found, BySize) and found.name == "torch"
    choice = BySize(Compiled(), large := Counted(), found.worth)
    _, tokens, X, y = table("3*exp(-0.5*x1) + 2", rows=1000)
    assert refine(tokens, (X, y), VOCABULARY, restarts=2, climber=choice).fvu[0] <= 1e-24
    H = np.random.default_rng(14).normal(size=(2000, 200)).astype(np.float32)
    choice.best_sums(H[:100], H[0], 10)
    assert (large.climbs, large.screens) == (0, 0)
    choice.best_sums(H, H[0], 10)
    assert large.screens == 1
    refine(np.repeat(tokens, 4000, axis=0), (X, y), VOCABULARY, restarts=4, climber=choice, max_steps=1)
    assert large.climbs > 0


def test_the_same_seed_gives_the_same_candidates_on_a_device():
    settings = {**SHORT, "method": "evolve", "max_evaluations": 60, "device": "torch"}
    first, second = (
        [
            (c.expression, c.fvu)
            for c in regress(frame_of("x1**2 + 2*x2"), "y ~ .", **settings).candidates_seen
        ]
        for _ in range(2)
    )
    assert first == second and len(first) > 20


def test_a_full_device_is_told_in_a_note(monkeypatch):
    monkeypatch.setattr(devices, "_ON_THE_PROCESSOR", 10_000)
    result = regress(
        frame_of("x1*x2"), "y ~ .", seconds=60, max_evaluations=200, model="none", device="torch"
    )
    assert any("went on on the processor" in note for note in result.notes)
    assert result.best.fvu < 1e-20


def test_groups_and_templates_are_found_on_a_device():
    data = frame_of("2.5*x1 + 1", rows=60)
    data["who"] = np.repeat(["a", "b", "c"], 20)
    data["y"] *= np.repeat([1.0, 2.0, 3.0], 20)
    settings = {**SHORT, "method": "pairs", "max_evaluations": 60, "device": "torch"}
    assert regress(data, "y ~ x1 | who", **settings).best.fvu < 1e-20
    data = frame_of("x1*exp(-0.5*x2)")
    assert regress(data, "y ~ f(x1)*exp(-c*x2)", **settings | {"max_evaluations": 300}).best.fvu < 1e-15


def test_the_estimator_and_the_bench_take_a_device(capsys):
    data = frame_of("x1*x2")
    model = SymbolicRegressor(method="pairs", seconds=30, max_evaluations=60, device="torch", random_state=0)
    assert model.fit(data[["x1", "x2"]], data["y"]).result_.settings["device"] == "torch"
    assert (
        main("bench nguyen --only Nguyen-1 --device torch --max-evaluations 60 --method pairs".split()) == 0
    )
    assert "on torch: recovered 1/1" in capsys.readouterr().out


# -- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ("gpu", "There is no device 'gpu'; choose from auto, cpu, cuda, mps, torch"),
        ("cudda", "Did you mean 'cuda'?"),
        ("cuda:x", "There is no device 'cuda:x'"),
        ("mps:1", "There is no device 'mps:1'"),
        ("cuda:99", "The device is 'cuda:99', but this machine has"),
        ("", "There is no device ''"),
    ],
)
def test_a_device_that_is_not_there(device, says):
    for ask in (
        backend_of,
        lambda name: regress(frame_of("x1*x2"), "y ~ .", device=name),
    ):
        with pytest.raises(UsageError) as slip:
            ask(device)
        assert says in str(slip.value)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_an_accelerator_that_is_not_there(kind):
    if kind == "cuda" and torch.cuda.is_available() or kind == "mps" and torch.backends.mps.is_available():
        pytest.skip("it is there")
    with pytest.raises(UsageError, match=f"^The device is '{kind}', (but|which) this machine .*; give cpu.$"):
        devices.check(kind)


def test_every_backend_keeps_the_protocol(on_torch):
    for backend in (Compiled(), on_torch, BySize(Compiled(), on_torch, 1.0)):
        assert isinstance(backend, Backend)
