"""The tests themselves: what is said of shapes and types is compared with what comes, whichever way that is done."""

from typing import Any

import numpy as np
import pytest
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError

from nbsr.engine.archive import Record
from nbsr.models import load
from nbsr.score import fvu
from nbsr.table.words import counted
from nbsr.trace import Trace

NO_NUMBER: Any = "three"
NO_PLACE: Any = 3
SLIPS = [
    (lambda: fvu(np.zeros(3), np.zeros((2, 4))), TypeCheckError),  # another number of rows
    (lambda: fvu(np.zeros(3, int), np.zeros(3)), TypeCheckError),
    (lambda: counted(NO_NUMBER, "row"), BeartypeCallHintViolation),
    (lambda: Record((1,), (2.0,), NO_NUMBER, 1, "pairs", 0.1, 1), BeartypeCallHintViolation),  # a dataclass
    (lambda: load(NO_PLACE), TypeCheckError),  # in a module where `list` is something else
    (lambda: Trace().node_of("beam", NO_NUMBER), BeartypeCallHintViolation),  # a method
]


@pytest.mark.parametrize("slip, said", SLIPS)
def test_what_does_not_fit_is_an_error(slip, said):
    with pytest.raises(said):
        slip()


def test_whole_numbers_are_numbers():
    assert Record((1,), (2,), 0, 1, "pairs", 1, 1).fvu == 0
