"""Laws that textbooks teach, tried before anything is searched: every way to put the table's columns into them."""

import itertools
import math
from functools import cache

from nbsr.expression import CONST, Expression
from nbsr.generate.base import Method, Phrase, Proposals, Task, pack_phrases
from nbsr.simplify import generic, simplify
from nbsr.textbook import Law, kinds, laws, measured

__all__ = ["textbook"]

_MOST = 600  # laws with columns put in
_WAYS = 320  # of one law
_BATCH = 128
_RESTARTS, _STEPS = 8, 40


@cache
def _bare(law: Law) -> Expression:
    """A law with as few constants as it takes: the 1 of 1/(1 + exp(a - b*x)) is none of its own if all are free."""
    return simplify(generic(law.expression)).freed()


def textbook(task: Task) -> Method:
    """One proposal for each law and each choice of columns for it: those first whose columns are named for what they
    measure in the law, then laws of few columns."""
    vocabulary, allowed = task.vocabulary, task.constraints
    columns = [token for name, token in vocabulary.variable_ids.items() if name in allowed.variables]
    names = {token: measured(vocabulary.name(token)) for token in columns}
    order: dict[tuple[int, ...], tuple[int, int]] = {}
    found: dict[tuple[int, ...], Phrase] = {}
    for law in laws():
        bare = _bare(law)
        own = bare.vocabulary
        if not 0 < math.perm(len(columns), len(own.variables)) <= _WAYS:
            continue
        needed = {t: own.name(t) for t in bare.tokens if own.is_operator(t)}
        if not vocabulary.operator_ids.keys() >= set(needed.values()):
            continue
        operators = {t: vocabulary.operator_ids[name] for t, name in needed.items()}
        measures = dict(zip(law.expression.vocabulary.variables, law.measures, strict=True))
        for chosen in itertools.permutations(columns, len(own.variables)):
            place = {own.variable(i): token for i, token in enumerate(chosen)}
            tokens = tuple(t if t == CONST else place[t] if t in place else operators[t] for t in bare.tokens)
            meant = sum(
                _meant(names[token], measures[name])
                for token, name in zip(chosen, own.variables, strict=True)
            )
            rank = -meant, len(chosen)
            if tokens not in order or rank < order[tokens]:
                order[tokens] = rank
                found[tokens] = Phrase(
                    tokens, bare.constants, sum(vocabulary.complexities[t] for t in tokens)
                )
    likely = sorted(found.values(), key=lambda phrase: order[phrase.tokens])
    fit = (p for p in likely if p.complexity <= allowed.max_complexity and allowed.allows(p.tokens))
    phrases = list(itertools.islice(fit, _MOST))
    for start in range(0, len(phrases), _BATCH):
        tokens, constants = pack_phrases(phrases[start : start + _BATCH])
        yield Proposals(tokens, constants, "textbook", restarts=_RESTARTS, steps=_STEPS)


def _meant(name: tuple[str, ...], measures: tuple[str, ...]) -> int:
    """1 where a column named so measures what it does in a law, -1 where something else, 0 where that is open."""
    if not name or not measures:
        return 0
    known = {*name, *(kind for one in name for kind in kinds()[one])}
    return 1 if known.intersection(measures) else -1
