"""How likely is a formula before there are any data?

A law of nature is one of the formulas that people write.  Which functions these hold, and which stand inside which,
is counted over textbook laws (`nbsr.textbook`); so `exp(-c*t)` costs little, a cosine inside a cosine much.  The count
is a probability for every node given the function that encloses it, smoothed by what nodes are in general; the sum of
its logarithms is the part of a description length that says which formula it is (Rissanen 1983; for formulas: Guimera
et al., Science Advances 6, 2020, who counted those of Wikipedia).
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache

from nbsr.errors import UsageError
from nbsr.expression import CONST, Expression, Vocabulary, exact_form, subtree_end
from nbsr.operators import OPERATORS
from nbsr.simplify import canonical
from nbsr.textbook import laws

__all__ = ["assembled", "structure"]

TOP = "top"
EXPONENT = "exponent"
CONSTANT, COLUMN, WHOLE = "constant", "column", "whole number"
_KINDS = {
    "+": "sum", "-": "sum", "*": "product", "/": "quotient", "inv": "quotient", "neg": "neg", "pow": "power",
    "pow2": "whole power", "pow3": "whole power", "pow4": "whole power", "pow5": "whole power",
    "pow1_2": "root", "pow1_3": "root", "pow1_4": "root", "pow1_5": "root", "sin": "wave", "cos": "wave",
}  # fmt: skip
_SCALED = re.compile(r"(mult|div)\d")  # a product with a whole number
_ARITHMETIC = frozenset({"sum", "product", "quotient", "neg", "whole power"})  # enclose nothing
_SMOOTHING = 4.0  # nodes that count as seen in each function before any were
_UNSEEN = 0.3  # of each kind
_TEXTBOOK = 1.5  # nats for being a textbook's law at all
_SIMPLER = 0.3  # how much sooner the simpler ones of them are met, in nats for each nat of their nodes
_UNSCALED = 4.0  # nats for a law of one column that has no factor of its own
_DRESSED = 1.0  # for a factor, and for an offset
_MOST_COLUMNS = 4
_OWN = 4.0  # nats of an operator that a person has registered


def structure(law: Expression, columns: int | None = None) -> float:
    """Minus the logarithm, in nats, of the probability of a formula before the data.

    A law that a textbook holds, whatever its constants and with a factor and an offset of its own or without, is one of
    a few hundred; any other is made of its nodes.

    A measured quantity has a unit, which a constant of its law carries; so a law that none scales is less likely.

    Arguments:
        law: an expression; of its constants only counts whether they are whole numbers.
        columns: from how many a column is chosen; by default those of the law's vocabulary.
    """
    made = assembled(law, columns)
    used = law.variables
    if not 0 < len(used) <= _MOST_COLUMNS:
        return made
    own = Vocabulary(tuple(f"v{i}" for i in range(len(used))), law.vocabulary.operators)
    place = {law.vocabulary.variable_ids[name]: own.variable(i) for i, name in enumerate(used)}
    tokens = tuple(place.get(t, t) for t in law.tokens)
    form = _form(tokens, own)
    if len(used) == 1 and not _scaled(form, tokens, own):
        made += _UNSCALED
    told = _told(len(used), own.operators).get(form)
    if told is None:
        return made
    price = math.log(max(1, len(law.vocabulary.variables) if columns is None else columns))
    return min(made, told + price * len(used))


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
    generic = tuple(1.371 + 0.731 * i for i in range(tokens.count(CONST)))
    return canonical(Expression(tokens, generic, vocabulary))


@cache
def _told(columns: int, operators: tuple[str, ...]) -> dict[str, float]:
    """The forms of all textbook laws of so many columns, and their cost: as they are, with a factor and an offset, or
    without the offset that they have."""
    vocabulary = Vocabulary(tuple(f"v{i}" for i in range(columns)), operators)
    chosen = [law for law in laws() if len(law.expression.vocabulary.variables) == columns]
    known: dict[str, float] = {}
    share = math.log(sum(math.exp(-_SIMPLER * assembled(law.expression)) for law in laws()))
    times, plus = vocabulary.operator_ids.get("*"), vocabulary.operator_ids.get("+")
    for law in chosen:
        own = law.expression.vocabulary
        try:
            plain = law.expression.to(Vocabulary(own.variables, operators))
        except UsageError:  # an operator that is not in this language
            continue
        for order in itertools.permutations(range(columns)):
            place = {own.variable(i): vocabulary.variable(k) for i, k in enumerate(order)}
            tokens = tuple(place.get(t, t) for t in plain.tokens)
            said = _TEXTBOOK + _SIMPLER * assembled(law.expression) + share
            ways = [
                (tokens, said),
                *((rest, said + _DRESSED) for rest in _without_offset(tokens, vocabulary)),
            ]
            if times is not None and plus is not None and columns <= 2:
                scaled = (times, CONST, *tokens)
                ways += [
                    (scaled, said + _DRESSED), ((plus, CONST, *tokens), said + _DRESSED),
                    ((plus, CONST, *scaled), said + 2 * _DRESSED),
                ]  # fmt: skip
            for way, price in ways:
                key = _form(way, vocabulary)
                known[key] = min(price, known.get(key, math.inf))
    return known


def _without_offset(tokens: tuple[int, ...], vocabulary: Vocabulary) -> list[tuple[int, ...]]:
    """The law without the constant that is added to it, if one is."""
    if vocabulary.name(tokens[0]) not in ("+", "-"):
        return []
    middle = subtree_end(tokens, 1, vocabulary.arities)
    parts = tokens[1:middle], tokens[middle:]
    return [other for part, other in (parts, parts[::-1]) if part == (CONST,) and len(other) > 1]


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
