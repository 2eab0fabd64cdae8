"""How likely is a formula before there are any data?

A law of nature is one of the formulas that people write.  Which functions these hold, and which stand inside which,
is counted over textbook laws (`nbsr.textbook`); so `exp(-c*t)` costs little, a cosine inside a cosine much.  The count
is a probability for every node given the function that encloses it, smoothed by what nodes are in general; the sum of
its logarithms is the part of a description length that says which formula it is (Rissanen 1983; for formulas: Guimera
et al., Science Advances 6, 2020, who counted those of Wikipedia).

A person also reads names and units: what follows a concentration saturates more often than not, a mass that follows
time grows.  So where it is known what a column or the target measures, textbook laws about that are likelier, by Bayes'
rule, and those about something else less.  And a person has met some laws far more often than others: those that are
the standard of a large field, and those that many programs for fitting curves have ready.

Units and origins are chosen by people, and a law should not depend on the choice (Stevens, Science 103, 1946; Luce,
Psychological Review 66, 1959).  What is measured from a zero that somebody chose, such as degrees, calendar years and
logarithms, hardly follows a law that another zero would turn into one of another form.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import numpy as np

from nbsr.errors import UsageError
from nbsr.expression import CONST, Expression, Vocabulary, exact_form, subtree_end
from nbsr.judgement.origin import depends
from nbsr.operators import OPERATORS
from nbsr.simplify import canonical, generic, simplify
from nbsr.textbook import Law, kinds, laws, measured

__all__ = ["UNKNOWN", "Quantities", "assembled", "structure"]

TOP = "top"
EXPONENT = "exponent"
CONSTANT, COLUMN, WHOLE = "constant", "column", "whole number"
_KINDS = {
    "+": "sum", "-": "sum", "*": "product", "/": "quotient", "inv": "quotient", "neg": "neg", "pow": "power",
    "pow2": "whole power", "pow3": "whole power", "pow4": "whole power", "pow5": "whole power",
    "pow1_2": "root", "pow1_3": "root", "pow1_4": "root", "pow1_5": "root", "sin": "wave", "cos": "wave",
}  # fmt: skip
_SCALED = re.compile(r"(mult|div)\d")  # a product with a whole number
_POWERS = frozenset("* / inv neg pow pow2 pow3 pow4 pow5 pow1_2 pow1_3 pow1_4 pow1_5".split())
_ARITHMETIC = frozenset({"sum", "product", "quotient", "neg", "whole power"})  # enclose nothing
_SMOOTHING = 4.0  # nodes that count as seen in each function before any were
_UNSEEN = 0.3  # of each kind
_TOLD = 0.95  # of the laws that people meet stand in a textbook
_OFTENER = 2.5  # times, for each step in how often a law is met
_SIMPLER = 0.05  # how much sooner simpler laws are met, in nats for each nat of their nodes
_UNSCALED = 4.0  # nats for a law of one column that has no factor of its own
_DRESSED = 4.5  # for a factor, and for an offset
_COINCIDENCE = 2.0  # for a constant of a textbook's law that is a simple number
_MOST_COLUMNS = 4
_MISNAMED = 0.015  # of columns whose name says nothing of the law that they follow
_NARROWER = 0.05  # as often as by what it is, a column is named by one kind of that
_BROADER = 0.2  # and by what that is a kind of
_FRACTION = 1.0  # for each nat of the numbers of which an exponent is the fraction
_LARGEST_DENOMINATOR = 12
_OWN = 4.0  # nats of an operator that a person has registered
_ORIGIN = 3.0  # nats for each quantity whose zero somebody chose, and on whose zero a law depends
_PLAIN_EXPONENT = 6.0  # fitted exponents between this and its reciprocal are like any other
_FAR_EXPONENT = 1.0  # nats for each e-fold beyond


class Quantities(NamedTuple):
    """What is measured, in the words of `nbsr.textbook`: any of several; none where it is not known.

    columns: by name; a column that is not among them is read by its name.
    target: what the law's value is.
    chosen: columns whose zero somebody chose, such as calendar years.
    target_chosen: whether that of the law's value was.
    """

    columns: Mapping[str, tuple[str, ...]] = {}
    target: tuple[str, ...] = ()
    chosen: frozenset[str] = frozenset()
    target_chosen: bool = False

    def of(self, names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
        """What these columns measure, and what the target."""
        known = (self.columns[name] if name in self.columns else measured(name) for name in names)
        return (*known, self.target)

    def moved(self, names: Iterable[str]) -> tuple[bool, ...]:
        """Of these columns and of the target whether somebody chose its zero."""
        return (*(name in self.chosen for name in names), self.target_chosen)


UNKNOWN = Quantities()  # but for what the columns' names say


def structure(law: Expression, columns: int | None = None, about: Quantities = UNKNOWN) -> float:
    """Minus the logarithm, in nats, of the probability of a formula before the data.

    Nineteen laws in twenty stand in a textbook: whatever its constants, and with a factor and an offset of its own or
    without, such a law is one of some hundreds, met the more often the more programs offer it.  Any other is made of
    its nodes.

    A measured quantity has a unit, which a constant of its law carries; so a law that none scales is less likely.

    Arguments:
        law: an expression; of its constants only counts whether they are whole numbers.
        columns: from how many a column is chosen; by default those of the law's vocabulary.
        about: what its columns and its value measure.
    """
    made = assembled(law, columns)
    used = law.variables
    if not 0 < len(used) <= _MOST_COLUMNS:
        return made
    made -= math.log(1 - _TOLD)
    own = Vocabulary(tuple(f"v{i}" for i in range(len(used))), law.vocabulary.operators)
    place = {law.vocabulary.variable_ids[name]: own.variable(i) for i, name in enumerate(used)}
    tokens = tuple(place.get(t, t) for t in law.tokens)
    form = _form(tokens, own)
    if len(used) == 1 and not _scaled(form, tokens, own):
        made += _UNSCALED
    price = math.log(max(1, len(law.vocabulary.variables) if columns is None else columns))
    numbers = sum(exact_form(c) is None for c in law.constants)
    moved = about.moved(used)
    fixed = _bound_to_zero(tokens, own, moved)
    made += _ORIGIN * sum(fixed)
    all_told = _told(len(used), own.operators)
    for wide, special in ((form, 0.0), *_wider(tokens, law.constants, own)):
        known = all_told.get(wide)
        if known is not None:
            told = known.nats(numbers) - _gain(known, about.of(used), fixed) + price * len(used) + special
            made = min(made, told)
    return made + _far_exponents(tokens, law.constants, own)


def _bound_to_zero(
    tokens: tuple[int, ...], vocabulary: Vocabulary, moved: tuple[bool, ...]
) -> tuple[bool, ...]:
    """Of each column and of the value whether its zero was chosen, and the law is another with another zero."""
    if not any(moved):
        return moved
    return tuple(map(all, zip(moved, depends(tokens, vocabulary), strict=True)))


def _far_exponents(tokens: tuple[int, ...], constants: tuple[float, ...], vocabulary: Vocabulary) -> float:
    """What it costs that a fitted exponent is tiny or huge: `x**0.04` is a logarithm, `x**20` a step."""
    power = vocabulary.operator_ids.get("pow")
    cost = 0.0
    for i in (i for i, token in enumerate(tokens) if token == power):
        at = subtree_end(tokens, i + 1, vocabulary.arities)
        exponent = constants[tokens[:at].count(CONST)] if tokens[at] == CONST else 1.0
        if exponent and math.isfinite(exponent) and exact_form(exponent) is None:
            cost += max(0.0, abs(math.log(abs(exponent))) - math.log(_PLAIN_EXPONENT))
    return _FAR_EXPONENT * cost


def _wider(
    tokens: tuple[int, ...], constants: tuple[float, ...], vocabulary: Vocabulary
) -> Iterator[tuple[str, float]]:
    """The forms of which a product of powers is a special case, and how special: one exponent, or all, could be any
    number, and few fractions are as likely as 1 or 2."""
    law = Expression(tokens, constants, vocabulary)
    if not _POWERS.issuperset(law.operators):
        return
    names = vocabulary.variables
    at = np.vstack([np.ones(len(names)), 1.0 + np.eye(len(names)), 1.0 + 3.0 * np.eye(len(names))])
    with np.errstate(all="ignore"):
        grown = np.log2(np.abs(law.predict(at)))
    if not np.isfinite(grown).all():
        return
    exponents = grown[1 : len(names) + 1] - grown[0]
    if not np.allclose(grown[len(names) + 1 :] - grown[0], 2 * exponents, rtol=1e-9, atol=1e-9):
        return  # 2**x
    fixed = [_raised(name, round(e, 9)) for name, e in zip(names, exponents.tolist(), strict=True)]
    free = [f"{name}**{1.371 + 0.731 * i}" for i, name in enumerate(names)]
    special = [_fraction_price(e) for e in exponents.tolist()]
    ways = [(free, sum(special))]
    if len(names) > 1:  # of the others, one at a time is left free
        ways += [([*fixed[:i], free[i], *fixed[i + 1 :]], special[i]) for i in range(len(names))]
    for way, price in ways:
        if all(way):
            product = "*".join(("2.317", *(f"({part})" for part in way)))
            yield canonical(Expression.parse(product, vocabulary)), price


def _fraction_price(exponent: float) -> float:
    """What it costs that an exponent is just this fraction of small whole numbers; nothing where it is no such one."""
    fraction = Fraction(exponent).limit_denominator(_LARGEST_DENOMINATOR)
    if abs(fraction - exponent) > 1e-9 or not fraction:
        return 0.0
    return _FRACTION * math.log(abs(fraction.numerator) * fraction.denominator)


def _raised(name: str, exponent: float) -> str:
    """A column to a power as people write it; "" where it is no power of a textbook's."""
    if exponent == 1:
        return name
    if exponent.is_integer():
        return f"{name}**{exponent:.0f}" if exponent > 0 else f"1/{name}**{-exponent:.0f}"
    return {0.5: f"sqrt({name})", -0.5: f"1/sqrt({name})"}.get(exponent, "")


def assembled(law: Expression, columns: int | None = None) -> float:
    """The same for a formula that is made of its nodes one by one."""
    price = math.log(max(1, len(law.vocabulary.variables) if columns is None else columns))
    costs = _costs()
    total = 0.0
    for context, kind in _nodes(law.tokens, law.constants, law.vocabulary):
        of = costs.get(context, costs[TOP])  # an operator of the person's own encloses like nothing
        total += of.get(kind, _OWN) + (price if kind == COLUMN else 0.0)
    return total


def _scaled(form: str, tokens: tuple[int, ...], vocabulary: Vocabulary) -> bool:
    """Whether a factor in front of the law of this form is one that its constants could carry."""
    times = vocabulary.operator_ids.get("*")
    return times is None or form == _form((times, CONST, *tokens), vocabulary)


def _form(tokens: tuple[int, ...], vocabulary: Vocabulary) -> str:
    """A key that is equal for laws which differ in their constants alone."""
    return canonical(_generic(tokens, vocabulary))


def _generic(tokens: tuple[int, ...], vocabulary: Vocabulary) -> Expression:
    """A law of these tokens with constants that are like no others."""
    return generic(Expression(tokens, (1.0,) * tokens.count(CONST), vocabulary))


class _Told(NamedTuple):
    """A form that textbooks tell.

    `constants` is how many it takes if all are free; `shares` of the laws that have it, by how many are free in these:
    the 1 of `c0/(1 + exp(c1*x))` is not; `laws` has the share of each, what its columns, in their order, and its
    value measure, and whether the law is as it is told, in no other dress.
    """

    constants: int
    shares: tuple[tuple[int, float], ...]
    laws: tuple[tuple[float, "_Measures", bool], ...]

    def nats(self, numbers: int) -> float:
        """What it costs with so many constants that are no simple numbers."""
        free = min(numbers, self.constants)
        return -math.log(
            _TOLD
            * sum(
                share * math.exp(-(_COINCIDENCE * (own - free) if own > free else _DRESSED * (free - own)))
                for own, share in self.shares
            )
        )


_Measures = tuple[tuple[str, ...], ...]  # of each column and of the value: any of these, none where anything


@cache
def _told(columns: int, operators: tuple[str, ...]) -> dict[str, _Told]:
    """The forms of all textbook laws of so many columns: as they are, with a factor and an offset, or without the
    offset that they have."""
    vocabulary = Vocabulary(tuple(f"v{i}" for i in range(columns)), operators)
    known: dict[str, list[tuple[float, _Measures, bool]]] = {}
    constants: dict[str, int] = {}
    met: dict[str, dict[int, float]] = {}
    for law in _of(columns):
        own = law.expression.vocabulary
        try:
            plain = law.expression.to(Vocabulary(own.variables, operators))
        except UsageError:  # an operator that is not in this language
            continue
        shares: dict[str, float] = {}
        fixed = _fixed(plain)
        for order in itertools.permutations(range(columns)):
            place = {own.variable(i): vocabulary.variable(k) for i, k in enumerate(order)}
            tokens = tuple(place.get(t, t) for t in plain.tokens)
            measures = _measures(law, [order.index(k) for k in range(columns)])
            for way, nats in _dressed(tokens, vocabulary):
                share = _share(law) * math.exp(-nats)
                form = _form(way, vocabulary)
                if form not in known:
                    known[form], met[form] = [], {}
                    constants[form] = len(simplify(_generic(way, vocabulary)).constants)
                known[form].append((share, measures, not nats))
                shares[form] = max(share, shares.get(form, 0.0))
        for form, share in shares.items():
            own_free = constants[form] - fixed
            met[form][own_free] = met[form].get(own_free, 0.0) + share
    return {
        form: _Told(constants[form], tuple(met[form].items()), tuple(told)) for form, told in known.items()
    }


def _fixed(law: Expression) -> int:
    """How many numbers of a textbook's law belong to its form."""
    if all(math.isnan(c) for c in law.constants):
        return 0
    free_form = generic(law)
    own = law.with_constants(
        [g if math.isnan(c) else c for g, c in zip(free_form.constants, law.constants, strict=True)]
    )
    free = sum(exact_form(c) is None for c in simplify(own).constants)
    return len(simplify(free_form).constants) - free


def _of(columns: int) -> list[Law]:
    return [law for law in laws() if len(law.expression.vocabulary.variables) == columns]


@cache
def _shares() -> dict[tuple[str, str], float]:
    shares = {}
    for columns in {len(law.expression.vocabulary.variables) for law in laws()}:
        chosen = _of(columns)
        weights = [
            (1 + len(law.offered)) * _OFTENER**law.met * math.exp(-_SIMPLER * assembled(law.expression))
            for law in chosen
        ]
        for law, weight in zip(chosen, weights, strict=True):
            shares[law.field, law.name] = weight / sum(weights) * len(chosen) / len(laws())
    return shares


def _share(law: Law) -> float:
    """Of textbook laws that are met, how many are this one."""
    return _shares()[law.field, law.name]


def _dressed(tokens: tuple[int, ...], vocabulary: Vocabulary) -> list[tuple[tuple[int, ...], float]]:
    """A law as it is, and in other dress with what that costs."""
    ways = [(tokens, 0.0), *((rest, _DRESSED) for rest in _without_offset(tokens, vocabulary))]
    times, plus = vocabulary.operator_ids.get("*"), vocabulary.operator_ids.get("+")
    if times is not None and plus is not None and len(vocabulary.variables) <= 2:
        scaled = (times, CONST, *tokens)
        ways += [
            (scaled, _DRESSED), ((plus, CONST, *tokens), _DRESSED), ((plus, CONST, *scaled), 2 * _DRESSED)
        ]  # fmt: skip
    return ways


def _measures(law: Law, order: Sequence[int]) -> _Measures:
    """What the columns of a law measure in this order, and its value."""
    return (*(law.measures[i] for i in order), law.value)


@cache
def _gain(form: _Told, known: _Measures, fixed: tuple[bool, ...]) -> float:
    """How much likelier a textbook's form becomes, in nats, by what is known of the table's columns and its target.

    Arguments:
        form: and the laws that have it.
        known: what each column and the target may measure.
        fixed: whose zero was chosen and counts in this form; in a law of just this quantity it may.
    """
    if not any(known) and not any(fixed):
        return 0.0
    told = sum(
        share * _chance(measures, known) * _by_zero(measures, known, fixed, plain)
        for share, measures, plain in form.laws
    )
    return math.log(told / sum(share for share, *_ in form.laws) / _usual(known))


def _chance(measures: _Measures, known: _Measures) -> float:
    """The probability that this is known of the columns and the value of a law which measure that."""
    chance = 1.0
    met = [_met(False)] * (len(known) - 1) + [_met(True)]
    for measure, name, shares in zip(measures, known, met, strict=True):
        if name:
            usual = sum(shares[one] for one in name)
            same = sum(_named(one).get(name_, 0.0) for one in measure for name_ in name) / max(
                1, len(measure)
            )
            chance *= _MISNAMED * usual + (1 - _MISNAMED) * same if measure else usual
    return chance


def _by_zero(measures: _Measures, known: _Measures, fixed: tuple[bool, ...], plain: bool) -> float:
    """How much less likely a law is because it depends on a zero that somebody chose, unless it is told so."""
    odd = sum(
        bound and not (plain and set(name).intersection(measure))
        for measure, name, bound in zip(measures, known, fixed, strict=True)
    )
    return math.exp(-_ORIGIN * odd)


@cache
def _named(measure: str) -> dict[str, float]:
    """How often a column of this measure is named as such, as a kind of it, and as what it is a kind of."""
    names = {measure: 1.0, **dict.fromkeys(kinds()[measure], _BROADER)}
    names |= {one: _NARROWER for one, above in kinds().items() if measure in above}
    total = sum(names.values())
    return {name: often / total for name, often in names.items()}


@cache
def _usual(known: _Measures) -> float:
    """The same for any law of so many columns."""
    columns = len(known) - 1
    chosen = _of(columns)
    total = 0.0
    for law in chosen:
        orders = [_measures(law, order) for order in itertools.permutations(range(columns))]
        total += _share(law) * sum(_chance(order, known) for order in orders) / len(orders)
    return total / sum(map(_share, chosen))


@cache
def _met(as_value: bool) -> dict[str, float]:
    """How often each measure is met in the names of columns of textbook laws, or of their values."""
    counts = dict.fromkeys(sorted(kinds()), 0.5)
    for law in laws():
        for measure in (law.value,) if as_value else law.measures:
            for one in measure:
                for name, often in _named(one).items():
                    counts[name] += often / len(measure)
    return {one: count / sum(counts.values()) for one, count in counts.items()}


def _without_offset(tokens: tuple[int, ...], vocabulary: Vocabulary) -> list[tuple[int, ...]]:
    """The law without the constant that is added to it, if one is."""
    if vocabulary.name(tokens[0]) not in ("+", "-"):
        return []
    middle = subtree_end(tokens, 1, vocabulary.arities)
    left, right = tokens[1:middle], tokens[middle:]
    found = [other for part, other in ((left, right), (right, left)) if part == (CONST,) and len(other) > 1]
    return found + [(tokens[0], *rest, *right) for rest in _without_offset(left, vocabulary)]


def _kind(name: str) -> str:
    if _SCALED.match(name):
        return "product"
    return _KINDS.get(name, name)


def _nodes(
    tokens: Sequence[int], constants: Sequence[float], vocabulary: Vocabulary
) -> list[tuple[str, str]]:
    """Of each node the function that encloses it, and what it is."""
    found: list[tuple[str, str]] = []
    numbers = iter(constants)
    waiting: list[str] = [TOP]  # the contexts of the nodes to come
    for token in tokens:
        context = waiting.pop()
        if token == CONST:
            value = next(numbers)
            whole = math.isfinite(value) and exact_form(value) is not None
            found.append((context, WHOLE if whole else CONSTANT))
            continue
        if token >= vocabulary.first_variable:
            found.append((context, COLUMN))
            continue
        name = vocabulary.name(token)
        kind = _kind(name)
        found.append((context, kind))
        if _SCALED.match(name):
            found.append((context, WHOLE))
        inside = context if kind in _ARITHMETIC else kind
        if kind == "power":
            waiting += [EXPONENT, inside]
        else:
            waiting += [inside] * vocabulary.arities[token]
        if name == "inv":
            found.append((context, WHOLE))  # as 1/x is written elsewhere
    return found


@cache
def _costs() -> dict[str, dict[str, float]]:
    """Minus the logarithm of the probability of a kind of node, by the function that encloses it."""
    kinds = sorted({_kind(name) for name in OPERATORS} | {CONSTANT, COLUMN, WHOLE})
    seen: dict[str, Counter[str]] = {context: Counter() for context in [TOP, EXPONENT, *kinds]}
    for law in laws():
        expression = law.expression
        for context, kind in _nodes(expression.tokens, expression.constants, expression.vocabulary):
            seen[context][kind] += 1
    total = sum(seen.values(), Counter())
    size = total.total() + _UNSEEN * len(kinds)
    overall = {kind: (total[kind] + _UNSEEN) / size for kind in kinds}
    return {
        context: {
            kind: -math.log((counts[kind] + _SMOOTHING * overall[kind]) / (counts.total() + _SMOOTHING))
            for kind in kinds
        }
        for context, counts in seen.items()
    }
