"""The machine against NumPy, torch, SymPy and 50 digits; its derivatives against differences; threads and edges."""

import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import mpmath as mp
import numpy as np
import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nbsr.errors import UsageError
from nbsr.evaluate import (
    BLOCK,
    Programs,
    aligned,
    as_columns,
    coefficients,
    compile_programs,
    compiled,
    elementwise,
    evaluate,
    evaluate_torch,
    functions,
    generate,
    jacobian,
    jacobian_torch,
    ready,
    warm,
)  # fmt: skip
from nbsr.expression import CONST, Expression, Vocabulary, pack, register
from nbsr.operators import BUILT_IN, OPERATORS

VOCABULARY = Vocabulary(("x", "y", "z"), BUILT_IN)
EPS = np.finfo(float).eps


@pytest.fixture(scope="module", autouse=True)
def _machine_code():
    warm(background=False)
    assert ready()


def batch(*texts: str, names=("x", "y", "z")):
    vocabulary = Vocabulary(names)
    tokens, constants = pack([Expression.parse(text, vocabulary) for text in texts])
    return compile_programs(tokens, vocabulary), constants


# -- each function against 50 digits ------------------------------------------------------------------------------

# in units of the last place: what follows from IEEE 754, and what the functions state of themselves
LARGEST_ERRORS = {
    **dict.fromkeys(("+", "-", "*", "/", "inv", "pow2", "mult3", "div3", "pow1_2"), 0.501),
    "pow3": 1.6, "pow4": 2.1, "pow5": 3.1, "pow1_4": 1.0,
    **{
        {"cbrt": "pow1_3", "root5": "pow1_5", "power": "pow"}.get(name, name): error
        for name, error in functions.LARGEST_ERRORS.items()
    },
}  # fmt: skip


def _root(degree):
    return lambda x, _: mp.sign(x) * mp.root(abs(x), degree)


TRUE = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
    "inv": lambda a, _: 1 / a, "pow": lambda a, b: a**b, "mult3": lambda a, _: 3 * a, "div3": lambda a, _: a / 3,
    "pow2": lambda a, _: a**2, "pow3": lambda a, _: a**3, "pow4": lambda a, _: a**4, "pow5": lambda a, _: a**5,
    "pow1_2": _root(2), "pow1_3": _root(3), "pow1_4": _root(4), "pow1_5": _root(5),
    "sigmoid": lambda x, _: 1 / (1 + mp.exp(-x)),
    **{
        name: (lambda function: lambda x, _: function(x))(getattr(mp, name))
        for name in "exp log sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf".split()
    },
}  # fmt: skip


def operands(name: str, double: bool, rng, n=150) -> np.ndarray:
    """[2, n] operands where the function is defined: everyday ones, tiny and huge ones, and those near its edges."""
    largest_angle, digits, largest_exponent = (1e6, 300, 700) if double else (1e4, 36, 85)

    def sizes(low, high):
        return 10 ** rng.uniform(low, high, n)

    sign = rng.choice([-1.0, 1.0], n)
    everyday, small = rng.uniform(-3, 3, n), sign * sizes(-20, 0)
    near_1 = 1 - sizes(-7, -1)
    spread = sizes(-digits, digits)
    exponents = rng.uniform(-largest_exponent, largest_exponent, n)
    angles = [
        everyday,
        small,
        sign * sizes(0, math.log10(largest_angle)),
        np.round(rng.uniform(-600, 600, n)) * math.pi / 2,
    ]
    one = {
        **dict.fromkeys(("exp", "sigmoid", "sinh", "cosh"), [exponents, everyday, small]),
        **dict.fromkeys(("sin", "cos", "tan"), angles),
        **dict.fromkeys(("asin", "acos", "atanh"), [rng.uniform(-1, 1, n), small, near_1, -near_1]),
        **dict.fromkeys(("pow1_2", "pow1_4"), [spread, abs(everyday)]),
        **dict.fromkeys(
            ("atan", "asinh", "pow1_3", "pow1_5", "inv", "mult3", "div3"), [sign * spread, everyday]
        ),
        **dict.fromkeys(("pow2", "pow3", "pow4", "pow5"), [everyday, sign * sizes(-6, 6)]),
        "log": [spread, abs(everyday), 1 + sign * sizes(-7, -1)],
        "tanh": [rng.uniform(-25, 25, n), small],
        "erf": [rng.uniform(-7, 7, n), small],
        "acosh": [1 + sizes(-7, 2), sizes(0, digits)],
    }
    if name in one:
        a = np.concatenate(one[name])
        return np.stack([a, np.ones_like(a)])
    if name == "pow":
        a = np.concatenate([sizes(-3, 3), rng.uniform(0.5, 2, n), sizes(-30, 30), sizes(-1, 1)])
        b = np.concatenate(
            [rng.uniform(-10, 10, n), rng.uniform(-100, 100, n), rng.uniform(-1, 1, n), everyday]
        )
        return np.stack([a, b])
    return np.stack(
        [np.concatenate([everyday, small]), np.concatenate([rng.permutation(everyday), sign * sizes(-9, 9)])]
    )


def program(name: str) -> Programs:
    """The program of one operator on columns x and y."""
    row, binary = BUILT_IN.index(name), OPERATORS[name].arity == 2
    one = np.ones(1, np.int32)
    return Programs(np.array([[[row, 0, int(binary)]]], np.int32), one, 0 * one, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LARGEST_ERRORS)
def test_no_error_is_larger_than_stated(name, dtype):
    double = dtype is np.float64
    a, b = operands(name, double, np.random.default_rng(1)).astype(dtype)
    found = evaluate(program(name), np.zeros((1, 0)), np.stack([a, b], 1).astype(float), dtype)[0]
    limits = np.finfo(dtype)
    n_checked = 0
    with mp.workdps(50):
        for p, q, value in zip(a, b, found):
            true = TRUE[name](mp.mpf(float(p)), mp.mpf(float(q)))
            if not 4 * float(limits.tiny) < abs(true) < float(limits.max):
                continue
            error = abs(mp.mpf(float(value)) - true) / float(np.spacing(dtype(abs(true))))
            assert error <= LARGEST_ERRORS[name], (p, q, value, float(true))
            n_checked += 1
    assert n_checked > len(a) / 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", BUILT_IN)
def test_edges_are_those_of_numpy(name, dtype):
    """Infinities, NaN, zeros and the edges of domains."""
    edges = np.array([0.0, -0.0, 1, -1, 0.5, 2, -2, 3, -3, 1e9, -1e9, 1e-30, math.inf, -math.inf, math.nan])
    X = np.stack([grid.ravel() for grid in np.meshgrid(edges, edges)], 1)
    if name == "pow":  # C calls an infinite number whole, and even
        X = X[(X[:, 0] > -math.inf) & np.isfinite(X[:, 1])]
    found = evaluate(program(name), np.zeros((1, 0)), X, dtype)
    expected = elementwise.evaluate(program(name), np.zeros((1, 0)), X, dtype)
    np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize(
    ("text", "x"),
    [("1/x", 0.0), ("log(x)", 0.0), ("log(x)", -1.0), ("sqrt(x)", -1.0), ("asin(x)", 1.5), ("acosh(x)", 0.5),
     ("atanh(x)", 1.0), ("x**0.5", -1.0), ("1/(1/x)", 0.0), ("inv(x)", 0.0)],
)  # fmt: skip
def test_outside_its_domain_an_operator_is_nan(text, x):
    programs, constants = batch(text, names=("x",))
    for dtype in (np.float32, np.float64):
        assert np.isnan(evaluate(programs, constants, np.full((3, 1), x), dtype)).all()


def test_huge_angles_are_reduced_exactly():
    x = np.concatenate([10.0 ** np.arange(4, 300, 7), np.linspace(0, 1e7, 301)])
    for name in ("sin", "cos", "tan"):
        found = evaluate(program(name), np.zeros((1, 0)), np.stack([x, x], 1))[0]
        with mp.workdps(350):
            true = np.array([float(getattr(mp, name)(mp.mpf(number))) for number in x])
        np.testing.assert_allclose(found, true, rtol=4 * EPS)


# -- random programs ----------------------------------------------------------------------------------------------

_LEAVES = st.sampled_from([(CONST,), *((VOCABULARY.variable(i),) for i in range(3))])


def _grow(children):
    unary = [VOCABULARY.id(name) for name in BUILT_IN if OPERATORS[name].arity == 1]
    binary = [VOCABULARY.id(name) for name in BUILT_IN if OPERATORS[name].arity == 2]
    return st.one_of(
        st.tuples(st.sampled_from(unary), children).map(lambda part: (part[0], *part[1])),
        st.tuples(st.sampled_from(binary), children, children).map(
            lambda part: (part[0], *part[1], *part[2])
        ),
    )


PREFIXES = st.recursive(_LEAVES, _grow, max_leaves=8)


def linked(prefixes, seed: int, n_rows: int):
    """Programs, constants and inputs of moderate size for prefix token sequences."""
    rng = np.random.default_rng(seed)
    tokens = np.zeros((len(prefixes), max(map(len, prefixes))), np.int16)
    for row, prefix in enumerate(prefixes):
        tokens[row, : len(prefix)] = prefix
    programs = compile_programs(tokens, VOCABULARY)
    constants = rng.normal(size=(len(prefixes), int(programs.n_constants.max())))
    return programs, constants, rng.normal(size=(n_rows, 3)) * rng.choice([0.3, 1.0, 3.0], size=3)


def value_and_doubt(code, constants, columns):
    """A program's value by NumPy, and a bound of what rounding may have done to it: the errors of its operands
    through the partial derivatives, and four units of the last place for each operation."""
    names, rows = elementwise.numpy_names(), list(OPERATORS.values())
    found = [
        np.broadcast_to(v, columns.shape[1:]) for v in elementwise.values_of(code, constants, columns, names)
    ]
    doubt: list[np.ndarray] = []
    n_columns = len(columns)
    for t, (opcode, *sides) in enumerate(code.tolist()):
        total = 4 * EPS * np.abs(found[t]) + 1e-300
        if opcode >= 0:
            a, b = (elementwise._operand(o, found, constants, columns) for o in sides)
            for side, text in zip(sides, rows[opcode].partials):
                if side >= n_columns:
                    slope = elementwise.apply(text, names, a=a, b=b, v=found[t])
                    total = total + 2 * np.abs(slope) * doubt[side - n_columns]
            # beside an edge of the domain or a jump, a derivative tells nothing
            if rows[opcode].name in {
                "sign",
                "asin",
                "acos",
                "acosh",
                "atanh",
                "pow",
                "tan",
                "log",
                "pow1_2",
                "pow1_4",
            }:
                for side, operand in zip(sides, (a, b)):
                    edge = np.minimum(np.abs(operand), np.abs(np.abs(operand) - 1))
                    unsure = doubt[side - n_columns] if side >= n_columns else 0.0
                    total = np.where(edge <= 1e6 * unsure, np.inf, total)
        doubt.append(total)
    return found[-1], doubt[-1]


def assert_near(found, code, constants, columns):
    with np.errstate(all="ignore"):
        expected, doubt = value_and_doubt(code, constants, columns)
        sure = doubt < 1e-3 * np.abs(expected) + 1e-12
        sure |= np.isnan(expected) & ~np.isinf(doubt) & ~np.isnan(doubt)
        near = (np.abs(found - expected) <= doubt) | (np.isnan(found) & np.isnan(expected))
    assert (near | ~sure).all(), (code, constants, columns[:, ~near & sure], found[~near & sure])


@given(
    st.lists(PREFIXES, min_size=1, max_size=5), st.integers(0, 2**32), st.sampled_from([1, 7, 16, 255, 300])
)
@settings(max_examples=100)
def test_machine_and_torch_agree_with_numpy(prefixes, seed, n_rows):
    programs, constants, X = linked(prefixes, seed, n_rows)
    machine = evaluate(programs, constants, X)
    torch = evaluate_torch(programs, constants, X).numpy()
    assert machine.shape == torch.shape == (len(prefixes), n_rows)
    for k in range(len(prefixes)):
        code = programs.code[k, : programs.length[k]]
        assert_near(machine[k], code, constants[k], X.T)
        assert_near(torch[k], code, constants[k], X.T)


@given(PREFIXES, st.integers(0, 2**32))
@settings(max_examples=60)
def test_agrees_with_sympy_at_50_digits(prefix, seed):
    programs, constants, X = linked([prefix], seed, 3)
    found = evaluate(programs, constants, X)[0]
    symbols = sympy.symbols("x y z")
    numbers = iter(constants[0])
    stack = []
    for token in reversed(prefix):
        if token == CONST:
            stack.append(None)
        elif VOCABULARY.is_variable(token):
            stack.append(symbols[token - VOCABULARY.variable(0)])
        else:
            a, b = stack.pop(), stack.pop() if VOCABULARY.arity[token] == 2 else None
            stack.append((OPERATORS[VOCABULARY.name(token)], a, b))

    def exact(node, row):
        """The node's value at 50 digits; None where it is no finite real number."""
        if node is None:
            return sympy.Float(float(next(numbers)), 50)
        if isinstance(node, sympy.Symbol):
            return sympy.Float(float(X[row, symbols.index(node)]), 50)
        operator, *children = node
        values = [exact(child, row) for child in children[: operator.arity]]
        if any(value is None for value in values):
            return None
        scope = {"a": values[0], "b": values[-1]}
        value = sympy.N(eval(operator.sympy, vars(sympy).copy(), scope), 50)
        return value if value.is_Float or value.is_Integer else None

    with np.errstate(all="ignore"):
        _, doubt = value_and_doubt(programs.code[0, : programs.length[0]], constants[0], X.T)
    for row in range(3):
        numbers = iter(constants[0])
        true = exact(stack[0], row)
        if true is None or not abs(true) < 1e300 or not doubt[row] < 1e-3 * abs(true) + 1e-12:
            continue
        assert abs(float(sympy.Float(float(found[row]), 50) - true)) <= doubt[row]


SMOOTH = [name for name in BUILT_IN if name not in {"abs", "sign", "max", "min"}]


@given(PREFIXES, st.integers(0, 2**32))
@settings(max_examples=80)
def test_derivatives_are_those_of_high_precision_differences(prefix, seed):
    names = [VOCABULARY.name(token) for token in prefix]
    assume(CONST in prefix and all(name in SMOOTH for name in names if name in OPERATORS))
    programs, constants, X = linked([prefix], seed, 4)
    values, derivatives = jacobian(programs, constants, X)
    torch_values, torch_derivatives = (t.numpy() for t in jacobian_torch(programs, constants, X))
    plain_values, plain_derivatives = elementwise.jacobian(programs, constants, X)
    np.testing.assert_array_equal(values, evaluate(programs, constants, X))
    code = programs.code[0, : programs.length[0]]
    with np.errstate(all="ignore"):
        _, doubt = value_and_doubt(code, constants[0], X.T)
    for row in range(4):
        if not doubt[row] < 1e-9 * abs(values[0, row]):
            continue
        for c in range(programs.n_constants[0]):
            true = difference(code, constants[0], X[row], c)
            if true is None or not 1e-9 * abs(values[0, row]) < abs(true) < 1e9 * abs(values[0, row]):
                continue
            for found in (derivatives, torch_derivatives, plain_derivatives):
                assert found[0, c, row] == pytest.approx(float(true), rel=1e-5), (row, c)


def difference(code, constants, row, c):
    """Central difference by constant c in 60 digits, or None where the value is no finite real number there."""
    names = {
        **{name: getattr(mp, name) for name in "exp log sin cos tan asin acos atan".split()},
        **{name: getattr(mp, name) for name in "sinh cosh tanh asinh acosh atanh sqrt".split()},
        "cbrt": lambda x: _root(3)(x, 0), "root5": lambda x: _root(5)(x, 0), "power": lambda a, b: a**b,
        "erf": mp.erf, "sigmoid": lambda x: 1 / (1 + mp.exp(-x)), "abs": abs, "nan": mp.nan,
        "where": lambda condition, yes, no: yes if condition else no,
    }  # fmt: skip
    with mp.workdps(60):
        step = mp.mpf(10) ** -20
        columns = [mp.mpf(float(number)) for number in row]
        sides = []
        for sign in (1, -1):
            moved = [mp.mpf(float(number)) for number in constants]
            moved[c] += sign * step
            try:
                value = elementwise.values_of(code, moved, columns, names)[-1]
            except (ValueError, ZeroDivisionError, OverflowError):
                return None
            if isinstance(value, mp.mpc) or not mp.isfinite(value):
                return None
            sides.append(value)
        return (sides[0] - sides[1]) / (2 * step)


def test_single_precision_is_near_double():
    rng = np.random.default_rng(5)
    programs, constants = batch(
        "2.5*sin(x) + y**2/3", "exp(-0.3*x*x)*cos(2*y)", "tanh(1.5*x)/(y**2 + 0.2)", "log(x**2 + z**2)"
    )
    X = rng.normal(size=(1000, 3))
    single, double = evaluate(programs, constants, X, np.float32), evaluate(programs, constants, X)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=2e-5, atol=2e-6)


# -- shapes, sizes, magnitudes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [0, 1, 15, 16, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_number_of_rows(n_rows, dtype):
    programs, constants = batch("x*y + 1.5", "z", "2.25", "sin(x) - y/3.5")
    X = np.random.default_rng(n_rows).normal(size=(n_rows, 3))
    found = evaluate(programs, constants, X, dtype)
    expected = elementwise.evaluate(programs, constants, X, dtype)
    assert found.shape == (4, n_rows) and found.dtype == dtype
    np.testing.assert_allclose(
        found, expected, rtol=4 * np.finfo(dtype).eps, atol=1e-6 if dtype is np.float32 else 1e-15
    )
    assert jacobian(programs, constants, X)[1].shape == (4, constants.shape[1], n_rows)


def test_empty_batch():
    programs = compile_programs(np.zeros((0, 5), np.int16), VOCABULARY)
    X, none = np.ones((10, 3)), np.zeros((0, 2))
    assert evaluate(programs, none, X).shape == (0, 10)
    assert [a.shape for a in jacobian(programs, none, X)] == [(0, 10), (0, 2, 10)]
    assert evaluate_torch(programs, none, X).shape == (0, 10)
    assert [tuple(a.shape) for a in jacobian_torch(programs, none, X)] == [(0, 10), (0, 2, 10)]


def test_programs_without_columns():
    vocabulary = Vocabulary(())
    tokens, constants = pack([Expression.parse("2.5 * 4.0 + 1.0", vocabulary)])
    programs = compile_programs(tokens, vocabulary)
    assert evaluate(programs, constants, np.zeros((5, 0))).tolist() == [[11.0] * 5]
    values, derivatives = jacobian(programs, constants, np.zeros((5, 0)))
    assert derivatives[0].tolist() == [[4.0] * 5, [2.5] * 5, [1.0] * 5]


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e-100, 1e100, 1e200, 1e300])
def test_magnitudes(size):
    programs, constants = batch("x*2 + 0.5*x", "x/y", "sqrt(x)", "log(x)", "cbrt(x)/3", "x/3/(y/7)")
    X = np.random.default_rng(2).uniform(0.5, 2.0, size=(40, 3)) * size
    found = evaluate(programs, constants, X)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, elementwise.evaluate(programs, constants, X), rtol=4 * EPS)
    np.testing.assert_allclose(found[0], 2.5 * X[:, 0], rtol=4 * EPS)


def test_wrong_shapes_are_refused():
    programs, constants = batch("x*y + 1.5")
    with pytest.raises(ValueError, match="reads? 3 columns"):
        evaluate(programs, constants, np.ones((5, 2)))
    with pytest.raises(ValueError, match="constants"):
        evaluate(programs, np.zeros((2, 1)), np.ones((5, 3)))
    with pytest.raises(ValueError, match="constants"):
        evaluate(programs, np.zeros((1, 0)), np.ones((5, 3)))


def test_results_go_where_they_are_wanted():
    programs, constants = batch("x*y + 1.5", "sin(z)")
    X = np.random.default_rng(0).normal(size=(300, 3))
    out = np.empty((2, 300), np.float32)
    assert evaluate(programs, constants, X, np.float32, out=out) is out
    np.testing.assert_array_equal(out, evaluate(programs, constants, X, np.float32))
    for wrong in (np.empty((2, 299), np.float32), np.empty((2, 300)), np.empty((300, 2), np.float32).T):
        with pytest.raises(ValueError, match="out is"):
            evaluate(programs, constants, X, np.float32, out=wrong)


def test_stopping_early_shows_and_changes_nothing_else():
    programs, constants = batch("log(x)", "x + y", "1/(x - 4.0)")
    X = np.arange(1.0, 1501.0)[:, None] * np.ones(3)
    X[700] = -1.0
    full, early = (evaluate(programs, constants, X, stop_early=early) for early in (False, True))
    finite = np.isfinite(full).all(axis=1)
    assert finite.tolist() == [False, True, False]
    assert np.isfinite(early).all(axis=1).tolist() == finite.tolist()
    np.testing.assert_array_equal(early[finite], full[finite])


# -- linking ------------------------------------------------------------------------------------------------------


def reference(prefix, constants, row):
    """Value of a prefix sequence by recursion, with its constants in prefix order."""
    tokens, numbers = iter(prefix), iter(constants)

    def read():
        token = next(tokens)
        if token == CONST:
            return next(numbers)
        if VOCABULARY.is_variable(token):
            return row[token - VOCABULARY.variable(0)]
        operator = OPERATORS[VOCABULARY.name(token)]
        a = read()
        b = read() if operator.arity == 2 else a
        return elementwise.apply(operator.value, elementwise.numpy_names(), a=a, b=b)

    return read()


@given(st.lists(PREFIXES, min_size=1, max_size=8), st.integers(0, 2**32))
def test_linked_programs_mean_what_the_prefix_says(prefixes, seed):
    programs, constants, X = linked(prefixes, seed, 1)
    with np.errstate(all="ignore"):
        for k, prefix in enumerate(prefixes):
            code = programs.code[k, : programs.length[k]]
            value = elementwise.values_of(code, constants[k], X.T, elementwise.numpy_names())[-1]
            # arrays both, as numpy may round the functions of plain numbers otherwise
            expected = reference(prefix, constants[k], X[:1].T)
            np.testing.assert_array_equal(np.ravel(value), np.ravel(expected))
            assert programs.n_constants[k] == prefix.count(CONST)


@given(st.lists(st.integers(0, VOCABULARY.size - 1), min_size=1, max_size=8))
def test_what_is_no_expression_is_refused(ids):
    needed = 1
    complete = True
    for i, token in enumerate(ids):
        if token == 0:
            complete &= needed == 0 and not any(ids[i:])
            break
        complete &= needed > 0
        needed += int(VOCABULARY.arity[token]) - 1
    if complete and needed == 0:
        assert len(compile_programs(np.array([ids]), VOCABULARY)) == 1
    else:
        with pytest.raises(UsageError, match="Row 0 "):
            compile_programs(np.array([ids]), VOCABULARY)


def test_many_programs_are_linked_like_few():
    texts = [f"x*{i}.5 + sin(y - {i}.25)" if i % 3 else "x" for i in range(5000)]
    unique = {text: Expression.parse(text, VOCABULARY) for text in set(texts[:30])}
    expressions = [unique[texts[i % 30]] for i in range(5000)]
    tokens, _ = pack(expressions)
    programs = compile_programs(tokens, VOCABULARY)
    few = compile_programs(tokens[:30], VOCABULARY)
    np.testing.assert_array_equal(programs.code[:30, : few.code.shape[1]], few.code)
    np.testing.assert_array_equal(
        programs.code[4980:], programs.code[:30][np.arange(4980, 5000) % 30].repeat(1, 0)
    )


def test_parts_of_a_batch():
    programs, constants = batch("x + 1.5", "y", "z*2.5")
    X = np.random.default_rng(0).normal(size=(20, 3))
    np.testing.assert_array_equal(
        evaluate(programs[[2, 0]], constants[[2, 0]], X), evaluate(programs, constants, X)[[2, 0]]
    )
    assert len(programs[1:]) == 2


@pytest.fixture
def lorentz():
    operators = register("lorentz", "1/sqrt(1 - a**2)"), register("wiggle", "a*sin(2.5*b) + a + lorentz(b)")
    yield
    for operator in operators:
        del OPERATORS[operator.name]


def test_users_operators_are_expanded(lorentz):
    names = ("x", "y")
    own, constants = batch("1.5*lorentz(x)", "wiggle(0.5*x, y) - 2.0", "x", names=names)
    spelt, same = batch(
        "1.5*(1/sqrt(1 - x**2))", "0.5*x*sin(2.5*y) + 0.5*x + 1/sqrt(1 - y**2) - 2.0", "x", names=names
    )
    X = np.random.default_rng(0).uniform(-0.9, 0.9, size=(100, 2))
    expected = evaluate(spelt, same, X)
    np.testing.assert_allclose(evaluate(own, constants, X), expected, rtol=1e-13)
    np.testing.assert_allclose(evaluate(own, constants, X, np.float32), expected, rtol=2e-5)
    np.testing.assert_allclose(evaluate_torch(own, constants, X).numpy(), expected, rtol=1e-13)
    np.testing.assert_allclose(elementwise.evaluate(own, constants, X), expected, rtol=1e-13)
    # by the factor 0.5 in 0.5 x sin(2.5 y) + 0.5 x + ...
    wiggle = X[:, 0] * np.sin(2.5 * X[:, 1]) + X[:, 0]
    for function in (jacobian, elementwise.jacobian, jacobian_torch):
        derivatives = np.asarray(function(own, constants, X)[1])
        np.testing.assert_allclose(derivatives[1, 0], wiggle, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(derivatives[1, 1], -1.0)


# -- numba, threads, caches ---------------------------------------------------------------------------------------


def test_blocks_from_numba():
    from numba import njit

    from nbsr.evaluate.blocks import forward_block, reverse_block

    @njit
    def run(code, length, constants, columns, start, stop, work, adjoint, out):
        forward_block(code, length, constants, columns, start, stop, work)
        reverse_block(code, length, constants, columns, start, stop, work, adjoint, out)

    programs, constants = batch("2.5*sin(1.5*x) + y**2/3.5", "7.25", "exp(-0.3*x*x)*cos(2.5*y)", "x*z")
    X = np.random.default_rng(0).normal(size=(503, 3))
    values, derivatives = jacobian(programs, constants, X)
    depth = programs.code.shape[1]
    for columns in (np.ascontiguousarray(X.T), as_columns(X)):
        for work in (np.empty((depth, BLOCK)), aligned((depth, BLOCK))):
            for k in range(4):
                for start, stop in ((0, 256), (256, 503), (500, 503), (7, 8)):
                    adjoint, out = np.empty((depth, BLOCK)), np.full((constants.shape[1], BLOCK), np.nan)
                    run(
                        programs.code[k],
                        programs.length[k],
                        constants[k],
                        columns,
                        start,
                        stop,
                        work,
                        adjoint,
                        out,
                    )
                    n = stop - start
                    np.testing.assert_array_equal(work[programs.length[k] - 1, :n], values[k, start:stop])
                    np.testing.assert_array_equal(out[:, :n], derivatives[k, :, start:stop])


def test_threads_do_not_disturb_each_other():
    rng = np.random.default_rng(3)
    programs, constants = batch(*[f"{i}.5*sin({i}.25*x) + y**2/{i + 1}.5" for i in range(60)])
    inputs = [rng.normal(size=(n, 3)) for n in (5000, 301, 2000, 17)]
    alone = [
        (evaluate(programs, constants, X, threads=1), *jacobian(programs, constants, X, threads=1))
        for X in inputs
    ]

    def again(i):
        X = inputs[i % 4]
        return i % 4, (evaluate(programs, constants, X), *jacobian(programs, constants, X, threads=2 + i % 2))

    with ThreadPoolExecutor(4) as pool:
        for i, together in pool.map(again, range(16)):
            for one, other in zip(alone[i], together):
                np.testing.assert_array_equal(one, other)


def test_one_program_on_many_rows_uses_rows_as_parts():
    programs, constants = batch("exp(-x*x)*1.5")
    X = np.random.default_rng(0).normal(size=(1_000_003, 3))
    np.testing.assert_array_equal(
        evaluate(programs, constants, X), evaluate(programs, constants, X, threads=1)
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_has_threads_of_its_own():
    script = """
import os, warnings, numpy as np
warnings.simplefilter("ignore")
from nbsr.evaluate import compile_programs, evaluate, warm
from nbsr.expression import Expression, Vocabulary, pack
warm(background=False)
vocabulary = Vocabulary(("x",))
tokens, constants = pack([Expression.parse(f"{i}.5*sin(x) + x*x", vocabulary) for i in range(200)])
programs, X = compile_programs(tokens, vocabulary), np.linspace(-2, 2, 3000)[:, None]
before = evaluate(programs, constants, X, threads=None)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(evaluate(programs, constants, X), before) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_coefficients_are_as_written():
    with open(coefficients.__file__) as file:
        assert file.read() == generate.write()


def test_a_process_without_machine_code_computes_by_numpy_and_compiles_beside(tmp_path):
    """A fresh cache: the first values come from NumPy at once, the same ones from the machine once it is there."""
    script = f"""
import pathlib, numpy as np
from nbsr.evaluate import compiled, compile_programs, elementwise, evaluate, ready, warm
from nbsr.expression import Expression, Vocabulary, pack
path = pathlib.Path({str(tmp_path)!r}) / "kernels.o"
compiled.object_path = lambda: path
vocabulary = Vocabulary(("x",))
tokens, constants = pack([Expression.parse("2.5*sin(x) + x*x", vocabulary)])
programs, X = compile_programs(tokens, vocabulary), np.linspace(-2, 2, 50)[:, None]
assert not ready()
plain = evaluate(programs, constants, X)
assert not compiled.is_loaded()
warm(background=False)
assert ready() and path.stat().st_size > 10_000 and not compiled.is_loaded()
assert np.allclose(evaluate(programs, constants, X), plain, rtol=1e-14, atol=1e-14) and compiled.is_loaded()
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_importing_the_evaluator_loads_no_heavy_library():
    script = "import nbsr.evaluate, sys; print([m for m in ('numba', 'torch', 'sympy', 'scipy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_object_path_tells_processors_and_sources_apart():
    assert compiled.object_path().name.startswith("kernels-")
    assert compiled.object_path().suffix == ".o"
