"""Forms A + f, A * f and A ** f with an unknown f, discovered in what good laws have in common.

A law is multiplied out into a sum of products of powers, so that two spellings of one function show the same terms.
Terms that most of the good laws hold are the known part of a sum, factors that all terms of most laws share are that of
a product, and bases of powers whose exponents are no whole numbers that of a power.  Constants of the known part stay
free: whoever refines A + f refines both.

Source: Xu et al., "Reinforcement Symbolic Regression Machine" (arXiv 2305.14656, ICLR 2024), its modulated sub-tree
discovery.  There the known part is fixed with its numbers.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nbsr.expression import CONST, fold
from nbsr.generate.base import Phrase, Writer
from nbsr.generate.breeding import Breeder, Genome

__all__ = ["Form", "Sum", "discover", "expand", "kept"]

Atom = Genome  # a column, or a function of something
Factors = tuple[tuple[Atom, float], ...]  # atoms and exponents, sorted; () is the constant term
Sum = dict[Factors, float]

_MOST_TERMS = 24
_MOST_POWER = 9  # of a sum that is multiplied out
_BEST = 20  # laws that are looked at
_RATIO = 0.1  # of the error of the best to that of one that counts
_ALWAYS = 2  # so many count, whatever their error
_SHARED = 0.5  # share of the laws that must have a part in common
_ROOM = 0.5  # share of the complexity that a known part may take
_LEAST_ERROR = 1e-12  # root of the FVU, below which errors are alike


class _Unreadable(Exception):
    """A law that is no sum of products."""


@dataclass(frozen=True)
class Form:
    """A law with an unknown part f.

    kind: "sum" A + f, "product" A * f or "power" A ** f; part: A, or None for Euler's number in a power.
    """

    kind: str
    part: Genome | None

    @property
    def words(self) -> str:
        """The form in letters."""
        if self.part is None:
            return "exp(f)"
        return {"sum": "A + f", "product": "A * f", "power": "A ** f"}[self.kind]

    def around(self, unknown: Genome, breeder: Breeder) -> tuple[Genome, int] | None:
        """The whole law with something in the place of f, and the number of constants before those of f.

        None where the operators do not suffice.
        """
        tokens, constants = unknown
        names, part = breeder.writer.ids, self.part
        if self.kind == "power":
            return self._power(unknown, breeder)
        joint = names.get("+" if self.kind == "sum" else "*")
        if joint is None or part is None:
            return None
        whole: Genome = (joint, *part[0], *tokens), part[1] + constants
        before = len(part[1])
        if self.kind == "product" and breeder.offset is not None:
            whole = (breeder.offset, *whole[0], CONST), (*whole[1], 0.0)
        return whole, before

    def _power(self, unknown: Genome, breeder: Breeder) -> tuple[Genome, int] | None:
        tokens, constants = unknown
        names, part = breeder.writer.ids, self.part
        if part is None and "exp" in names:
            core: Genome = (names["exp"], *tokens), constants
            before = 0
        elif part is not None and "pow" in names:
            core, before = ((names["pow"], *part[0], *tokens), part[1] + constants), len(part[1])
        elif part is not None and {"exp", "log", "*"} <= names.keys():
            spelled = (names["exp"], names["*"], *tokens, names["log"], *part[0])
            core, before = (spelled, constants + part[1]), 0
        else:
            return None
        dressed = breeder.dress(core)
        scaled = int(breeder.times is not None)
        return (dressed.tokens, dressed.constants), before + scaled


# -- a law as a sum of products --------------------------------------------------------------------------------------


def expand(law: Genome, writer: Writer) -> Sum | None:
    """The law multiplied out: coefficients of products of powers; None where that is too long or cannot be read."""
    tokens, constants = law
    vocabulary = writer.vocabulary

    def leaf(token: int, index: int) -> Sum:
        return {(): constants[index]} if token == CONST else {((((token,), ()), 1.0),): 1.0}

    def node(token: int, operands: tuple[Sum, ...]) -> Sum:
        return _apply(vocabulary.name(token), token, operands, writer)

    try:
        found = fold(tokens, vocabulary.arities, leaf, node)
    except (_Unreadable, OverflowError, ZeroDivisionError):
        return None
    return found if all(math.isfinite(c) for c in found.values()) else None


def _apply(name: str, token: int, operands: tuple[Sum, ...], writer: Writer) -> Sum:
    a, b = operands[0], operands[-1]
    if name in "+-" and len(operands) == 2:
        return _plus(a, b, 1.0 if name == "+" else -1.0)
    if name == "*":
        return _times(a, b)
    if name == "/":
        return _times(a, _power(b, -1.0, writer))
    if name == "neg":
        return _scaled(a, -1.0)
    if name == "inv":
        return _power(a, -1.0, writer)
    if name == "pow" and set(b) <= {()}:
        return _power(a, b.get((), 0.0), writer)
    if name.startswith("pow1_"):
        return _power(a, 1.0 / int(name[5:]), writer)
    if name[:3] == "pow" and name[3:]:
        return _power(a, float(name[3:]), writer)
    if name[:4] == "mult":
        return _scaled(a, float(name[4:]))
    if name[:3] == "div":
        return _scaled(a, 1.0 / float(name[3:]))
    if name == "exp":  # exp(c + t) = exp(c) * exp(t)
        return _scaled(
            _function(token, ({k: v for k, v in a.items() if k},), writer), math.exp(a.get((), 0.0))
        )
    return _function(token, operands, writer)


def _scaled(a: Sum, factor: float) -> Sum:
    return {term: factor * c for term, c in a.items()}


def _plus(a: Sum, b: Sum, sign: float) -> Sum:
    out = dict(a)
    for term, c in b.items():
        out[term] = out.get(term, 0.0) + sign * c
    if len(out) > _MOST_TERMS:
        raise _Unreadable
    return {term: c for term, c in out.items() if c}


def _times(a: Sum, b: Sum) -> Sum:
    out: Sum = {}
    for one, c in a.items():
        for other, d in b.items():
            powers = dict(one)
            for atom, exponent in other:
                powers[atom] = powers.get(atom, 0.0) + exponent
            term = _term(powers)
            out[term] = out.get(term, 0.0) + c * d
    if len(out) > _MOST_TERMS:
        raise _Unreadable
    return {term: c for term, c in out.items() if c}


def _term(powers: dict[Atom, float]) -> Factors:
    return tuple(sorted((atom, e) for atom, e in powers.items() if e))


def _power(a: Sum, exponent: float, writer: Writer) -> Sum:
    if len(a) == 1:
        ((term, c),) = a.items()
        if c > 0 or exponent == int(exponent):
            return {_term({atom: e * exponent for atom, e in term}): c**exponent}
        raise _Unreadable
    if exponent == int(exponent) and 2 <= exponent <= _MOST_POWER:
        out = a
        for _ in range(int(exponent) - 1):
            out = _times(out, a)
        return out
    phrase = spell(a, writer)
    return {(((phrase.tokens, _rounded(phrase.constants)), exponent),): 1.0}


def _function(token: int, operands: tuple[Sum, ...], writer: Writer) -> Sum:
    tokens: tuple[int, ...] = (token,)
    constants: tuple[float, ...] = ()
    for operand in operands:
        phrase = spell(operand, writer)
        tokens, constants = tokens + phrase.tokens, constants + phrase.constants
    return {(((tokens, _rounded(constants)), 1.0),): 1.0}


def _rounded(constants: tuple[float, ...]) -> tuple[float, ...]:
    """So that parts which were refined apart are known again."""
    return tuple(float(f"{c:.2e}") for c in constants)


def spell(a: Sum, writer: Writer) -> Phrase:
    """A sum as an expression, its terms in one order.  Raises _Unreadable where the operators do not suffice."""
    terms = sorted((term, c) for term, c in a.items() if term)
    pieces = [(_spelled(term, writer), c) for term, c in terms]
    offset = a.get((), 0.0)
    if not pieces:
        return writer.number(offset)
    phrase = writer.sum([(piece, float(f"{c:.12g}")) for piece, c in pieces], offset if offset else None)
    if phrase is None:
        raise _Unreadable
    return phrase


def _spelled(term: Factors, writer: Writer) -> Phrase | None:
    factors = [(_phrase(atom, writer), exponent) for atom, exponent in term]
    return writer.product(*factors)


def _phrase(genome: Genome, writer: Writer) -> Phrase:
    price = writer.vocabulary.complexities
    return Phrase(genome[0], genome[1], sum(price[t] for t in genome[0]))


# -- what good laws have in common -----------------------------------------------------------------------------------


def kept(laws: Sequence[tuple[float, Genome]]) -> list[tuple[float, Genome]]:
    """The best laws: those whose error is not far above the least, two in any case.

    laws: FVU and genome of each.
    """
    ordered = sorted(laws, key=lambda law: law[0])[:_BEST]
    if not ordered:
        return []
    error = [max(math.sqrt(fvu), _LEAST_ERROR) for fvu, _ in ordered]
    return [law for k, law in enumerate(ordered) if k < _ALWAYS or error[0] / error[k] > _RATIO]


def discover(laws: Sequence[tuple[float, Genome]], breeder: Breeder) -> list[Form]:
    """The forms that the best of these laws suggest: a product, a power, a sum, as far as there is one of each."""
    writer = breeder.writer
    sums = [found for _, law in kept(laws) if (found := expand(law, writer))]
    if not sums:
        return []
    room = _ROOM * breeder.constraints.max_complexity
    forms = [_as_product(sums, writer, room), _as_power(sums, writer, room), _as_sum(sums, writer, room)]
    return [form for form in forms if form is not None]


def _most(sums: list[Sum]) -> float:
    """The number of laws that must have a part in common: half of them, and two where there are two."""
    return max(_SHARED * len(sums), min(2, len(sums)))


def _as_sum(sums: list[Sum], writer: Writer, room: float) -> Form | None:
    counts = Counter(term for law in sums for term in law if term)
    shared = [term for term, n in counts.most_common() if n >= _most(sums)]
    priced = {term: _spelled(term, writer) for term in shared}
    while shared:  # as many as there is room for, in one order
        pieces = [(priced[term], next(law[term] for law in sums if term in law)) for term in sorted(shared)]
        phrase = None if any(piece is None for piece, _ in pieces) else _sum(pieces, writer)
        if phrase is not None and phrase.complexity <= room:
            return Form("sum", (phrase.tokens, phrase.constants))
        shared.pop()
    return None


def _sum(pieces: Sequence[tuple[Phrase | None, float]], writer: Writer) -> Phrase | None:
    """Terms with a free coefficient each, also where that is 1."""
    total: Phrase | None = None
    for piece, coefficient in pieces:
        term = writer.apply("*", writer.number(coefficient), piece)
        total = term if total is None else writer.apply("+", total, term)
        if total is None:
            return None
    return total


def _as_product(sums: list[Sum], writer: Writer, room: float) -> Form | None:
    counts: Counter[tuple[Atom, float]] = Counter()
    for law in sums:
        counts.update(_common([term for term in law if term]).items())
    powers: dict[Atom, float] = {}
    for (atom, exponent), n in counts.most_common():
        if n >= _most(sums):
            powers.setdefault(atom, exponent)
    phrase = _spelled(_term(powers), writer) if powers else None
    fits = phrase is not None and phrase.complexity <= room
    return Form("product", (phrase.tokens, phrase.constants)) if phrase is not None and fits else None


def _common(terms: list[Factors]) -> dict[Atom, float]:
    """The factors that all terms have, with the least of their exponents."""
    if not terms:
        return {}
    common = dict(terms[0])
    for term in terms[1:]:
        powers = dict(term)
        common = {
            atom: min(e, powers[atom], key=abs)
            for atom, e in common.items()
            if atom in powers and e * powers[atom] > 0
        }
    return common


def _as_power(sums: list[Sum], writer: Writer, room: float) -> Form | None:
    found = Counter(base for law in sums for base in _bases(law, writer))
    for base, n in found.most_common(1):
        if n >= _most(sums) and (base is None or _phrase(base, writer).complexity <= room):
            return Form("power", base)
    return None


def _bases(law: Sum, writer: Writer) -> set[Genome | None]:
    """Of a law of one term beside its offset: what is raised to a power that is not whole; None is Euler's number."""
    terms = [term for term in law if term]
    if len(terms) != 1:
        return set()
    bases: set[Genome | None] = set()
    whole: dict[Atom, float] = {}
    for atom, exponent in terms[0]:
        root = atom[0][0]
        if root == writer.ids.get("exp"):
            bases.add(None)
        elif root == writer.ids.get("pow"):
            end, open_ = 1, 1
            while open_:
                open_ += writer.vocabulary.arities[atom[0][end]] - 1
                end += 1
            part = atom[0][1:end]
            bases.add((part, atom[1][: part.count(CONST)]))
        elif exponent != int(exponent):
            whole[atom] = 1.0
    phrase = _spelled(_term(whole), writer) if whole else None
    if phrase is not None:
        bases.add((phrase.tokens, phrase.constants))
    return bases
