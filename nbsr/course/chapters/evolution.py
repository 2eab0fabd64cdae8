"""Exercises of the sixth notebook: parts exchanged, the better ones kept.  Trees are those of the third."""

import numpy as np

from nbsr.course.chapters.trees import grown, size
from nbsr.course.judge import Choice, Free, Function, Unanswered, Wrong, call, kind, number, same_tree


def part(tree, place):
    """The sub-tree whose first node is number `place` in prefix order, the root being 0."""
    if place == 0:
        return tree
    place -= 1
    for branch in tree[1:]:
        if place < size(branch):
            return part(branch, place)
        place -= size(branch)
    raise IndexError("no such place")


def replace(tree, place, new):
    """The tree with another sub-tree at that place."""
    if place == 0:
        return new
    place, branches = place - 1, []
    for branch in tree[1:]:
        inside = 0 <= place < size(branch)
        branches.append(replace(branch, place, new) if inside else branch)
        place -= size(branch)
    return (tree[0], *branches)


def _one(random: np.random.Generator) -> tuple:
    tree = ("+", grown(random, 3), grown(random, 2))
    return tree, int(random.integers(0, size(tree)))


def _with_new(random: np.random.Generator) -> tuple:
    return *_one(random), ("sin", grown(random, 1))


def _two(random: np.random.Generator) -> tuple:
    (mother, i), (father, j) = _one(random), _one(random)
    return mother, father, i, j


def _off_by_one(tree, place, new):
    return replace(tree, min(place + 1, size(tree) - 1), new)


def _reversed_places(tree, place):
    return part(tree, size(tree) - 1 - place)


def _tournament(answer: object, random: np.random.Generator) -> None:
    """Many draws: the best of k is drawn as often as it should be."""
    if not callable(answer):
        raise Wrong("not_function", got=kind(answer))
    count, contest, draws = 20, 3, 1500
    errors = random.permutation(count).astype(float)
    picks = np.zeros(draws, int)
    for k in range(draws):
        got = call(answer, errors, contest, random)
        if got is ...:
            raise Unanswered
        got = number(got)
        if got != int(got) or not 0 <= got < count:
            raise Wrong("no_index", got=got, count=count)
        picks[k] = int(got)
    rank = errors[picks].mean() / (count - 1)  # 0: always the best; of the best of three: near a quarter
    if rank == 0:
        raise Wrong("always_best")
    if rank > 0.6:
        raise Wrong("worst_wins")
    if rank > 0.4:
        raise Wrong("no_contest")
    if not 0.17 < rank < 0.27:
        raise Wrong("contest_size", contest=contest)


EXERCISES = {
    "1": Function(
        part,
        _one,
        {
            "one_off": lambda tree, place: part(tree, min(place + 1, size(tree) - 1)),
            "backwards": _reversed_places,
            "branch_number": lambda tree, place: tree[place],
        },
        count=20,
        compared=same_tree,
    ),
    "2": Function(
        replace,
        _with_new,
        {
            "unchanged": lambda tree, place, new: tree,
            "one_off": _off_by_one,
            "only_new": lambda tree, place, new: new,
        },
        count=20,
        compared=same_tree,
    ),
    "3": Function(
        lambda mother, father, i, j: replace(mother, i, part(father, j)),
        _two,
        {
            "other_child": lambda mother, father, i, j: replace(father, j, part(mother, i)),
            "places_swapped": lambda mother, father, i, j: replace(
                mother, min(j, size(mother) - 1), part(father, min(i, size(father) - 1))
            ),
            "whole_father": lambda mother, father, i, j: replace(mother, i, father),
            "only_part": lambda mother, father, i, j: part(father, j),
        },
        count=20,
        compared=same_tree,
    ),
    "4": Free(_tournament),
    "5": Choice("b"),
}
