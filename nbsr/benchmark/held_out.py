"""The benchmark's laws, so that a model need not have seen them."""

from nbsr.benchmark.problems import load_suite, suites
from nbsr.expression import Vocabulary
from nbsr.prior import HeldOut


def benchmark_held_out(vocabulary: Vocabulary) -> HeldOut:
    """The laws of every suite, in the vocabulary of a model, with any numbers and any names of columns."""
    return HeldOut.of((problem.truth for suite in suites() for problem in load_suite(suite)), vocabulary)
