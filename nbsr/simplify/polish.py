"""From a formula that fits to the law behind it: leftover parts dropped, constants snapped to simple numbers.

Each change is judged by one number, a description length in nats (Rissanen 1983):

    rows/2 * ln(FVU) + the price of every constant + 1.5 * complexity

in which a free constant costs the digits to which the data determine it and a simple number what it costs to
say (`numbers`). A change that lowers it is made. With exact data rows/2 * ln(FVU) rules, and only what leaves
the fit exact is accepted; with noisy data a term has to earn its place, and a constant within about two standard
errors of a plain number becomes that number.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from nbsr.expression import CONST, Expression, exact_form, subtree_end
from nbsr.simplify.canonical import canonical, generic
from nbsr.simplify.fit import Fitted, Fitter
from nbsr.simplify.nodes import Undefined
from nbsr.simplify.normal import Algebra
from nbsr.simplify.numbers import FREE_PRICE, exponents, named_price, readings, simple_numbers
from nbsr.simplify.shapes import Hand, expanded
from nbsr.simplify.shorten import simplify

NATS_PER_NODE = 1.5
# More rows do not make a decision better: what limits a law then is systematic error. And a decision costs less.
MOST_ROWS = 1000
# The constants of the few laws that come out are fitted to more.
MOST_ROWS_AT_THE_END = 20_000
# Functions that are nearly straight lines over a short range, and so may hide one.
_NEARLY_LINEAR = frozenset(
    "sin tan asin atan sinh tanh asinh atanh erf exp log sigmoid pow1_2 pow1_3 cos cosh inv".split()
)

# Two fits that are so close are equal but for rounding.
_ROUNDING_NATS = 1e-6
# Under a robust loss the rows' weights, and so its minimum, depend a little on where the climb begins.
_ROBUST_NATS = 0.1
_POLYNOMIAL = frozenset("+ - * neg pow2 pow3 pow4".split())


def polish(
    law: Expression,
    X: Float[np.ndarray, "rows columns"],
    y: Float[np.ndarray, " rows"],
    weights: Float[np.ndarray, " rows"] | None = None,
    operators: Collection[str] | None = None,
    relative: bool = False,
    loss: str = "squares",
) -> list[Expression]:
    """Simpler forms of a fitted law that the data do not object to: the simplest first, the most faithful last.

    The law is simplified, what is superfluous in it is dropped, its constants are snapped to simple numbers,
    and what is left is fitted again. Columns that are positive on all rows count as positive: sqrt(x**2) is x.

    Arguments:
        law: an expression with fitted constants.
        X: [rows, columns of its vocabulary].
        y: [rows] target.
        weights: [rows] or None.
        operators: those that the result may use; by default all of its vocabulary.
        relative: whether errors grow with the target, so that logarithms are compared.
        loss: what residuals count.

    Returns:
        Distinct expressions with their constants; none where the law is not finite on every row.
    """
    desk = _Desk(law, X, y, weights, operators, relative, loss)
    whole = desk.whole(law)
    if not math.isfinite(whole.fvu):
        return []
    rungs: list[Expression] = []
    for fitted in desk.dropped(whole):
        snapped = desk.settled(desk.snapped(fitted))
        by_hand = desk.written(snapped, tidy=True)  # exp(x) - 1, which the shortest spelling may hide
        respelled = by_hand is not None and canonical(generic(by_hand)) == canonical(generic(snapped))
        if by_hand is not None and (not respelled or _free(by_hand) >= _free(snapped)):
            by_hand = None
        rungs += [rung for rung in (snapped, by_hand) if rung is not None and rung not in rungs]
    return desk.on_more_rows(rungs)


def variants(law: Expression, X: Float[np.ndarray, "rows columns"]) -> list[Expression]:
    """The law with one part left out: a term, a factor, a function, or a part made constant; nothing is fitted.

    Arguments:
        law: an expression with fitted constants.
        X: rows on which parts take their values.
    """
    return _Desk(law, X, np.zeros(len(X)), None, None).variants(law)


def written(
    law: Expression,
    X: Float[np.ndarray, "rows columns"],
    y: Float[np.ndarray, " rows"],
    weights: Float[np.ndarray, " rows"] | None = None,
    operators: Collection[str] | None = None,
    tidy: bool = True,
    relative: bool = False,
    loss: str = "squares",
    allows: Callable[[Expression], bool] | None = None,
) -> Fitted:
    """A fitted law in the form in which a person writes it, its constants fitted there, with their errors.

    Known shapes (`shapes.Hand`) whatever they cost in nodes, as long as no constant has to be fitted that was not
    before; a polynomial multiplied out where that has simpler numbers, or where nothing in the data shows its roots or
    its vertex. A form whose fit is worse than the law's is not taken.

    Arguments:
        law: an expression with fitted constants, finite on every row.
        X: [rows, columns of its vocabulary].
        y: [rows] target.
        weights: [rows] or None.
        operators: those that the form may use; by default all of its vocabulary.
        tidy: whether simple numbers may take the place of constants, as `polish` puts them there.
        relative: whether errors grow with the target, so that logarithms are compared.
        loss: what residuals count.
        allows: whether a form may be taken.

    Returns:
        The form; the law itself, with its errors, where it is one. The errors are of the linearised fit, 0 for numbers
        that were not fitted.
    """
    desk = _Desk(law, X, y, weights, operators, relative, loss)
    fitter = desk.fitter if len(y) <= MOST_ROWS else desk.fitter_on(len(y))
    before = fitter.fit([law], [_plain(law)], steps=0)[0]
    form = desk.written(law, tidy) if math.isfinite(before.fvu) else None
    if form is None or (allows is not None and not allows(form)):
        return before
    after = fitter.fit([form], [_plain(form)], steps=8)[0]
    return after if desk.as_good(after, before, 2.0 if tidy else desk.slack) else before


def snap_constants(
    law: Expression,
    X: Float[np.ndarray, "rows columns"],
    y: Float[np.ndarray, " rows"],
    weights: Float[np.ndarray, " rows"] | None = None,
) -> Expression:
    """The law with every constant that may be a simple number made that number, and the others fitted again.

    Whole numbers, small fractions, multiples of pi and its reciprocal, e, roots, powers of ten, short decimals;
    exponents first. A constant is snapped when the number is more probable than chance: how close it is, in
    standard errors and against the digits to which the data determine it, has to outweigh what it costs to say.

    Arguments:
        law: an expression with fitted constants.
        X, y, weights: the data.
    """
    desk = _Desk(law, X, y, weights, None)
    fitted = desk.fit([law])[0]
    return desk.snapped(fitted).law if math.isfinite(fitted.fvu) else law


def drop_terms(
    law: Expression,
    X: Float[np.ndarray, "rows columns"],
    y: Float[np.ndarray, " rows"],
    weights: Float[np.ndarray, " rows"] | None = None,
) -> Expression:
    """The law without the terms, factors and functions that the data do not ask for, fitted again.

    Arguments:
        law: an expression with fitted constants.
        X, y, weights: the data.
    """
    desk = _Desk(law, X, y, weights, None)
    fitted = desk.whole(law)
    return desk.dropped(fitted)[0].law if math.isfinite(fitted.fvu) else law


class _Desk:
    """The data of one law, and the judgements made on them. Arguments as of `polish`."""

    def __init__(
        self,
        law: Expression,
        X,
        y,
        weights,
        operators: Collection[str] | None,
        relative: bool = False,
        loss: str = "squares",
    ):
        self.data, self.relative, self.loss = (X, y, weights), relative, loss
        self.slack = _ROUNDING_NATS if loss == "squares" else _ROBUST_NATS
        self.fitter = self.fitter_on(MOST_ROWS)
        self.X = self.fitter.X
        self.operators = operators
        self.positive = [
            name for name, column in zip(law.vocabulary.variables, X.T) if np.min(column, initial=1) > 0
        ]

    def fitter_on(self, rows: int) -> Fitter:
        """A fitter on at most so many rows, evenly spread."""
        X, y, weights = self.data
        if len(y) <= rows:
            return Fitter(X, y, weights, self.relative, self.loss)
        used = np.linspace(0, len(y) - 1, rows).astype(int)
        return Fitter(X[used], y[used], None if weights is None else weights[used], self.relative, self.loss)

    def shorter(self, law: Expression) -> Expression:
        return simplify(law, self.positive, self.operators)

    def fit(self, laws: Sequence[Expression], held=None, steps: int = 12) -> list[Fitted]:
        return self.fitter.fit(laws, held, steps)

    def whole(self, law: Expression) -> Fitted:
        """The law fitted, simplified unless it loses by that: exp(a) - 1 with a tiny a bears no rearranging."""
        forms = [self.shorter(law), law]
        fits = self.fit(forms if forms[0] != law else [law])
        return min(fits, key=lambda f: self.misfit(f.fvu, max(g.rounding for g in fits)) + self.price(f))

    def settled(self, fitted: Fitted) -> Expression:
        """The law simplified, with the constants as they are, unless it loses by that."""
        law = fitted.law
        short = self.shorter(law)
        if short != law:
            held = [[True] * len(form.constants) for form in (short, law)]
            after, before = self.fit([short, law], held, steps=0)
            floor = max(fitted.rounding, before.rounding)
            if self.misfit(after.fvu, floor) > self.misfit(before.fvu, floor) + 2.0:
                return law
        return short

    # -- the form in which a person writes it ------------------------------------------------------------------

    def written(self, law: Expression, tidy: bool) -> Expression | None:
        """The law in a known shape, or multiplied out; None where it is as it should be."""
        first = law
        for _ in range(4):  # snapped numbers may make another form of it
            form = self._rewritten(law, tidy)
            if form is None:
                break
            law = form
        return None if law is first else law

    def _rewritten(self, law: Expression, tidy: bool) -> Expression | None:
        """One step of `written`."""
        known, spread = self._by_hand(law)
        if known is not None and _alike(known, law):
            known = None
        before = self.fit([law], [_plain(law)], steps=0)[0]
        best: Fitted | None = None
        if known is not None:
            trial = self.fit([known], [_plain(known)], steps=8)[0]
            if self.as_good(trial, before, self.slack):
                trial = self.snapped(trial, _named_prices(known)) if tidy else trial
                if _free(trial.law) <= _free(law) or self.toll(trial) < self.toll(before):
                    best = trial
        if spread is not None and spread != known and not _alike(spread, law):
            trial = self.fit([spread], [_plain(spread)], steps=8)[0]
            if self.as_good(trial, before, self.slack):
                trial = self.snapped(trial, _named_prices(spread)) if tidy else trial
                simpler = _numbers(trial.law) < _numbers((best or before).law)
                if simpler or (_free(trial.law) <= _free(law) and self._rootless(law)):
                    best = trial
        return None if best is None else best.law

    def _by_hand(self, law: Expression) -> tuple[Expression | None, Expression | None]:
        """The law in its known shape, and multiplied out; None where it has none."""
        ids = law.vocabulary.variable_ids
        algebra = Algebra(positive=[ids[name] for name in self.positive])
        operators = None if self.operators is None else {*self.operators, *law.operators, "*", "/"}
        nonzero = [ids[n] for n, column in zip(law.vocabulary.variables, self.X.T) if np.all(column != 0)]
        hand = Hand(algebra, law.vocabulary, operators, nonzero)
        found: list[Expression | None] = []
        for spread in (False, True):
            try:
                node = algebra.build(law)
                found.append(hand.expression(expanded(node, algebra) if spread else node))
            except (Undefined, OverflowError, RecursionError):
                found.append(None)
        return found[0], found[1]

    def _rootless(self, law: Expression) -> bool:
        """Whether it is a polynomial in one column of which no root and no vertex that it tells lies among the rows."""
        if len(law.variables) != 1 or not set(law.operators) <= _POLYNOMIAL:
            return False
        for part in law.subexpressions():
            if part != law and part.operator in ("+", "-"):
                values = part.predict(self.X)
                if np.min(values) < 0 < np.max(values):
                    return False
        return True

    def as_good(self, form: Fitted, law: Fitted, slack: float) -> bool:
        """Whether a form fits as well as the law, up to so many nats."""
        floor = max(form.rounding, law.rounding)
        return self.misfit(form.fvu, floor) <= self.misfit(law.fvu, floor) + slack

    def toll(self, fitted: Fitted) -> float:
        """Misfit and the price of the constants, but not of the nodes."""
        price = FREE_PRICE * _free(fitted.law) + fitted.digits + sum(_named_prices(fitted.law).values())
        return self.misfit(fitted.fvu, fitted.rounding) + price

    # -- judgement -------------------------------------------------------------------------------------------

    def misfit(self, fvu: float, floor: float) -> float:
        """Half of rows * ln(FVU), where whatever is below the rounding counts as equal."""
        return self.fitter.rows / 2 * math.log(max(fvu, floor)) if math.isfinite(fvu) else math.inf

    def price(self, fitted: Fitted, held: Collection[float] = ()) -> float:
        """What the nodes and the constants cost. `held`: the prices of those that are simple numbers."""
        free = len(fitted.law.constants) - len(held)
        return NATS_PER_NODE * fitted.law.complexity + FREE_PRICE * free + fitted.digits + sum(held)

    # -- dropping --------------------------------------------------------------------------------------------

    def dropped(self, whole: Fitted) -> list[Fitted]:
        """The law and ever simpler forms of it, each better than the one before; the simplest first."""
        rungs = [whole]
        seen = {canonical(whole.law)}
        for _ in range(8):
            current = rungs[0]
            variants = []
            for variant in self.variants(current.law):
                key = canonical(variant)
                if key not in seen and variant.complexity <= current.law.complexity:
                    seen.add(key)
                    variants.append(variant)
            if not variants:
                break
            fits = self.fit(variants, steps=8)
            floor = max(current.rounding, current.fvu if current.fvu < current.rounding else 0.0)
            now = self.misfit(current.fvu, floor) + self.price(current)
            costs = [self.misfit(f.fvu, floor) + self.price(f) for f in fits]
            best = int(np.argmin(costs))
            if not costs[best] < now:
                break
            rungs.insert(0, fits[best])
        suffers = self.misfit(whole.fvu, whole.rounding) < self.misfit(rungs[0].fvu, whole.rounding) - 2.0
        return [rungs[0], whole] if suffers else rungs[:1]

    def variants(self, law: Expression) -> list[Expression]:
        """The law with one part left out: a term, a factor, a function, or a part made constant."""
        tokens, vocabulary = law.tokens, law.vocabulary
        starts_of_constants = np.cumsum([0, *(t == CONST for t in tokens)])
        found = []

        def replaced(start: int, end: int, part: Expression) -> None:
            before, after = starts_of_constants[start], starts_of_constants[end]
            candidate = Expression(
                tokens[:start] + part.tokens + tokens[end:],
                law.constants[:before] + part.constants + law.constants[after:],
                vocabulary,
            )
            found.append(self.shorter(candidate))

        for start, token in enumerate(tokens):
            if vocabulary.arities[token] == 0:
                if token != CONST:
                    mean = self._mean(law.part(start))
                    if mean is not None:
                        replaced(start, start + 1, mean)
                continue
            end = subtree_end(tokens, start, vocabulary.arities)
            part = law.part(start)
            for child in part.children():
                replaced(start, end, child)
            name = vocabulary.name(token)
            if name == "-":
                replaced(start, end, Expression.apply("neg", part.children()[1]))
            elif name == "/":
                replaced(start, end, Expression.apply("inv", part.children()[1]))
            if start:
                mean = self._mean(part)
                if mean is not None:
                    replaced(start, end, mean)
            if name in _NEARLY_LINEAR:
                line = self._line(part)
                if line is not None:
                    replaced(start, end, line)
        return found

    def _mean(self, part: Expression) -> Expression | None:
        values = part.predict(self.X)
        with np.errstate(over="ignore"):
            mean = float(np.mean(values))
        return Expression.constant(mean, part.vocabulary) if math.isfinite(mean) else None

    def _line(self, part: Expression) -> Expression | None:
        """f(a) as c0 + c1*a, fitted to the values that it has."""
        argument = part.children()[0]
        a, f = argument.predict(self.X), part.predict(self.X)
        if argument.is_constant or not (np.isfinite(a).all() and np.isfinite(f).all()) or np.ptp(a) == 0:
            return None
        with np.errstate(all="ignore"):
            centre = np.mean(a)
            slope = float(np.dot(a - centre, f - np.mean(f)) / np.dot(a - centre, a - centre))
            offset = float(np.mean(f) - slope * centre)
        if not (math.isfinite(slope) and math.isfinite(offset)) or slope == 0:
            return None
        scaled = Expression.apply("*", Expression.constant(slope, part.vocabulary), argument)
        return Expression.apply("+", scaled, Expression.constant(offset, part.vocabulary))

    # -- snapping --------------------------------------------------------------------------------------------

    def snapped(self, fitted: Fitted, held: Mapping[int, float] | None = None) -> Fitted:
        """The law with as many constants as possible made simple numbers, one at a time, the surest first.

        held: what those that are numbers already cost, by their positions.
        """
        held = dict(held or {})
        refused: set[tuple[int, float]] = set()
        powers = exponents(fitted.law)
        floor = max(fitted.rounding, fitted.fvu if fitted.fvu < fitted.rounding else 0.0)
        for _ in range(3 * len(fitted.law.constants)):
            offers = self._offers(fitted, held, refused, powers, floor)
            if not offers:
                break
            _, i, number, price = max(offers)
            constants = list(fitted.law.constants)
            constants[i] = number
            fixed = [j in held or j == i for j in range(len(constants))]
            trial = self.fit([fitted.law.with_constants(constants)], [fixed], steps=8)[0]
            now = self.misfit(fitted.fvu, floor) + self.price(fitted, held.values())
            then = self.misfit(trial.fvu, floor) + self.price(trial, [*held.values(), price])
            if then < now:
                fitted, held = trial, {**held, i: price}
            else:
                refused.add((i, number))
        return fitted

    def _offers(self, fitted: Fitted, held, refused, powers, floor) -> list[tuple[float, int, float, float]]:
        """Simple numbers worth a trial: (what would be gained, constant, number, price)."""
        offers = []
        exact = fitted.fvu <= floor
        for i, (value, error) in enumerate(zip(fitted.law.constants, fitted.errors)):
            if i in held or value == 0:
                continue
            error = max(
                error, 4e-16 * abs(value), abs(value) * math.sqrt(floor / max(1, self.fitter.rows)) * 1e-2
            )
            error = max(error, 5e-324)
            for gain, number, price in readings(value, error, i in powers, exact):
                if (i, number) not in refused:
                    offers.append((gain + 50.0 * (i in powers), i, number, price))
        return offers

    # -- the end ---------------------------------------------------------------------------------------------

    def on_more_rows(self, rungs: list[Expression]) -> list[Expression]:
        """The free constants fitted to more rows than the decisions were made on."""
        if len(self.data[1]) <= MOST_ROWS:
            return rungs
        fitter = self.fitter_on(MOST_ROWS_AT_THE_END)
        held = [[bool(simple_numbers(c, 0.0)) for c in law.constants] for law in rungs]
        return [fitter.fit([law], [fixed], steps=4)[0].law for law, fixed in zip(rungs, held)]


def _plain(law: Expression) -> list[bool]:
    """Which constants are numbers with a name, and so were not fitted."""
    return [exact_form(c) is not None for c in law.constants]


def _free(law: Expression) -> int:
    """How many constants were fitted."""
    return _plain(law).count(False)


def _numbers(law: Expression) -> tuple[int, float]:
    """How many constants were fitted, and what the others cost."""
    return _free(law), sum(_named_prices(law).values())


def _named_prices(law: Expression) -> dict[int, float]:
    """What each number with a name costs, by its position."""
    named = {i: c for i, c in enumerate(law.constants) if exact_form(c) is not None}
    return {i: named_price(c) for i, c in named.items()}


def _alike(a: Expression, b: Expression) -> bool:
    """Whether two laws are the same text up to rounding."""
    return a.tokens == b.tokens and all(
        math.isclose(c, d, rel_tol=1e-9) for c, d in zip(a.constants, b.constants, strict=True)
    )
