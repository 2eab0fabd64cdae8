"""Laws that textbooks teach, tried before anything is searched: every way to put the table's columns into them."""

import itertools
import math
from functools import cache

from nbsr.expression import CONST, Expression
from nbsr.generate.base import Method, Phrase, Proposals, Task, pack_phrases
from nbsr.simplify import simplify
from nbsr.textbook import Law, laws

__all__ = ["textbook"]

_MOST = 320  # laws with columns put in
_BATCH = 128
_RESTARTS, _STEPS = 8, 40


@cache
def _bare(law: Law) -> Expression:
    """A law with as few constants as it takes: the 1 of 1/(1 + exp(a - b*x)) is none of its own if all are free."""
    generic = [1.371 + 0.731 * i for i in range(len(law.expression.constants))]
    return simplify(law.expression.with_constants(generic)).freed()


def textbook(task: Task) -> Method:
    """One proposal for each law and each choice of columns for it, laws of few columns first."""
    vocabulary, allowed = task.vocabulary, task.constraints
    columns = [token for name, token in vocabulary.variable_ids.items() if name in allowed.variables]
    found: dict[tuple[int, ...], Phrase] = {}
    for law in sorted(map(_bare, laws()), key=lambda law: len(law.vocabulary.variables)):
        own = law.vocabulary
        ways = math.perm(len(columns), len(own.variables))
        if not 0 < ways <= _MOST - len(found):
            continue
        needed = {t: own.name(t) for t in law.tokens if own.is_operator(t)}
        if not vocabulary.operator_ids.keys() >= set(needed.values()):
            continue
        operators = {t: vocabulary.operator_ids[name] for t, name in needed.items()}
        for chosen in itertools.permutations(columns, len(own.variables)):
            place = {own.variable(i): token for i, token in enumerate(chosen)}
            tokens = tuple(t if t == CONST else place[t] if t in place else operators[t] for t in law.tokens)
            phrase = Phrase(tokens, law.constants, sum(vocabulary.complexities[t] for t in tokens))
            if phrase.complexity <= allowed.max_complexity and allowed.allows(tokens):
                found.setdefault(tokens, phrase)
    phrases = list(found.values())
    for start in range(0, len(phrases), _BATCH):
        tokens, constants = pack_phrases(phrases[start : start + _BATCH])
        yield Proposals(tokens, constants, "textbook", restarts=_RESTARTS, steps=_STEPS)
