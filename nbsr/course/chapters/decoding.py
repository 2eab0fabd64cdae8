"""Exercises of the ninth notebook: draw, keep several, look ahead, and steer."""

import math

import numpy as np

from nbsr.course.judge import Choice, Free, Function, Wrong, result


def _logits(random: np.random.Generator) -> tuple[np.ndarray, float]:
    return random.normal(0, 2, random.integers(3, 8)) + random.choice([0.0, 9000.0]), float(
        random.uniform(0.3, 3)
    )


def softmax(logits, temperature):
    weights = np.exp((logits - logits.max()) / temperature)
    return weights / weights.sum()


def _overflowing(logits, temperature):
    weights = np.exp(logits / temperature)
    return weights / weights.sum()


def _multiplied(logits, temperature):
    return softmax(logits, 1 / temperature)


# A language of four words, in which the likeliest first word does not begin the likeliest sentence.
WORDS = ("a", "b", "c", ".")


def chances_of(random: np.random.Generator):
    """The chance of each next word after a sentence; it ends with the word "."."""
    tables: dict[tuple[str, ...], np.ndarray] = {}

    def chances(sentence):
        key = tuple(sentence)
        if len(key) >= 5:
            return {"a": 0.0, "b": 0.0, "c": 0.0, ".": 1.0}
        if key not in tables:
            seed = seed_of(key)
            tables[key] = np.random.default_rng(seed).dirichlet([0.6, 0.6, 0.6, 0.3])
        return dict(zip(WORDS, tables[key].tolist()))

    base = int(random.integers(1 << 30))

    def seed_of(key: tuple[str, ...]) -> list[int]:
        return [base, *(1 + WORDS.index(word) for word in key)]

    chances.__name__ = "chances"
    return chances


def beam(chances, width):
    """The likeliest whole sentence that a beam of that width finds, as a list of words."""
    open_, done = [([], 1.0)], []
    while open_:
        longer = [([*s, w], p * q) for s, p in open_ for w, q in chances(s).items() if q > 0]
        best = sorted(longer, key=lambda pair: -pair[1])[:width]
        done += [pair for pair in best if pair[0][-1] == "."]
        open_ = [pair for pair in best if pair[0][-1] != "."]
    return max(done, key=lambda pair: pair[1])[0]


def _all_sentences(chances):
    return beam(chances, 10**6)


class _Language:
    """`chances` with a short name in sentences, which a copy leaves as it is."""

    def __init__(self, random: np.random.Generator):
        self._chances = chances_of(random)
        self.__name__ = "chances"

    def __call__(self, sentence):
        return self._chances(sentence)

    def __deepcopy__(self, memo):
        return self


def _ended_first(chances, width):
    """Stops when the first sentence ends."""
    open_ = [([], 1.0)]
    while True:
        longer = [([*s, w], p * q) for s, p in open_ for w, q in chances(s).items() if q > 0]
        open_ = sorted(longer, key=lambda pair: -pair[1])[:width]
        for sentence, _ in open_:
            if sentence[-1] == ".":
                return sentence


def _counts(random: np.random.Generator) -> tuple[float, int, int, float]:
    visits = int(random.integers(1, 40))
    return (
        float(random.uniform(0, visits)),
        visits,
        visits + int(random.integers(1, 100)),
        float(random.uniform(0.3, 2)),
    )


def _uct(total, visits, parent_visits, c):
    return total / visits + c * math.sqrt(math.log(parent_visits) / visits)


def _steered(answer: object, random: np.random.Generator) -> None:
    """A search that was told to leave out `sin`, and to begin from a guess, and what it found."""
    found = result(answer)
    acts = found.trace.acts if found.trace is not None else []
    forbidden = [act for act in acts if act.name == "forbid" and "sin" in str(act.arguments.get("text", ""))]
    if not acts:
        raise Wrong("no_acts")
    if not forbidden:
        raise Wrong("not_forbidden")
    if not any(act.name == "guess" for act in acts):
        raise Wrong("no_guess")
    if "sin" in found.best.expression.operators:
        raise Wrong("sin_inside")


EXERCISES = {
    "1": Function(
        softmax,
        _logits,
        {
            "overflow": _overflowing,
            "no_temperature": lambda logits, temperature: softmax(logits, 1.0),
            "multiplied": _multiplied,
            "not_shared_out": lambda logits, temperature: np.exp((logits - logits.max()) / temperature),
        },
        count=20,
    ),
    "2": Function(
        beam,
        lambda random: (_Language(random), 2),
        {
            "greedy": lambda chances, width: beam(chances, 1),
            "everything": lambda chances, width: _all_sentences(chances),
            "first_end": _ended_first,
        },
        count=40,
    ),
    "3": Function(
        _uct,
        _counts,
        {
            "no_mean": lambda total, visits, parent, c: total + c * math.sqrt(math.log(parent) / visits),
            "no_log": lambda total, visits, parent, c: total / visits + c * math.sqrt(parent / visits),
            "curiosity_outside": lambda total, visits, parent, c: (
                total / visits + math.sqrt(c * math.log(parent) / visits)
            ),
            "upside_down": lambda total, visits, parent, c: (
                total / visits + c * math.sqrt(visits / math.log(parent))
            ),
        },
    ),
    "4": Free(_steered),
    "5": Choice("a"),
}
