"""Fine-tuning within a search: a network learns the one table that is searched, and what it writes is proposed.

    tuning = TableTuning(network, encoding, task, seconds=60)
    yield from tuning.lessons(task)        # a batch a lesson: the search can be watched, paused and stopped at each
    tuning.next_token                      # the network with the adapter that did best, in the tokens of the search

The rows are those that the search works on; rows kept aside for a test are none of them.  In a lesson constants are
fitted on a subset of the rows and judged on others, so that what is learned is not how to follow the noise.

Source: Ying et al., "Bridging the domain gap in equation distillation with reinforcement feedback" (REEL,
arXiv 2505.15572), on learning from subsets of the rows of the very table.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Int, Integer

from nbsr.expression import PAD
from nbsr.generate.base import Method, Proposals, Task
from nbsr.model import Encoding, Model, Policy
from nbsr.reinforcement.contexts import parted
from nbsr.reinforcement.objective import Tuning
from nbsr.reinforcement.pupil import APART, Examined, Pupil, Rules
from nbsr.reinforcement.reward import log_linear
from nbsr.threads import torch_alone
from nbsr.trace import Learned, Likely

__all__ = ["ONE_TABLE", "TableTuning"]

ONE_TABLE = Tuning(contexts=4, samples=32, validate_every=4, judged=32)  # lessons of a fraction of a second
SOURCE = "fine-tuning"


class TableTuning:
    """A network on its way to know one table.

    Arguments:
        base: the network, which stays as it is.
        encoding: of the table, as `next_token` will see it.
        task: the search, of whose rows and columns it learns.
        seconds: that its lessons may take together, with what the search does of their laws.
        complexity: of the laws that are asked for, or 0.
    """

    def __init__(
        self,
        base: Model,
        encoding: Encoding,
        task: Task,
        seconds: float,
        complexity: int = 0,
        tuning: Tuning = ONE_TABLE,
    ):
        vocabulary = task.vocabulary
        self.base, self.encoding, self.vocabulary = base, encoding, vocabulary
        self.seconds, self.complexity, self.spent = seconds, complexity, 0.0
        self.columns = sorted(encoding.order)
        names = [vocabulary.variables[column] for column in self.columns]
        rng = np.random.default_rng([task.seed, APART])
        source = parted(names, "y", task.inputs[:, self.columns], task.response, task.weights, rng)
        with torch_alone():
            self.pupil = Pupil(base, [source], [source], tuning, task.seed, log_linear(), complexity)
        known = base.vocabulary
        self._spelled = np.full(known.first_variable + len(self.columns), -1)
        self._spelled[:2] = (0, 1)
        for name, token in known.operator_ids.items():
            self._spelled[token] = vocabulary.operator_ids.get(name, -1)
        self._spelled[known.first_variable :] = [vocabulary.variable(column) for column in self.columns]
        self._before: Examined | None = None
        self._over = False
        self._proposed: set[tuple[int, ...]] = set()

    def lessons(self, task: Task, clock: Callable[[], float] = time.monotonic) -> Method:
        """Lesson after lesson, until the seconds are used up; goes on where it was, by the rules of the task.

        Arguments:
            clock: seconds, with all that the search does of a lesson's laws; of a paused search it stands still.
        """
        rules = self._rules(task)
        if not rules.columns.any():
            return
        pupil, every = self.pupil, self.pupil.tuning.validate_every
        pupil.rules = rules
        nothing = Proposals(np.empty((0, 1), np.int16), None, SOURCE)
        if self._before is None:
            with torch_alone():
                self._before = pupil.examine()
            before = Learned(0, validation=self._before.score, says=self._says(self._before))
            yield replace(nothing, learned=before)
        begun = clock()
        while self.spent < self.seconds and task.remaining > 0:
            with torch_alone():
                lesson = pupil.lesson(self.spent / self.seconds)
                row = lesson.row
                learned = Learned(pupil.lessons, row["reward"], row["top"], row["valid"], row["kl"])
                if pupil.lessons % every == 0:
                    learned = replace(learned, validation=pupil.examine().score)
            yield Proposals(
                self._new(lesson.laws, rules), None, SOURCE, restarts=8, steps=30, learned=learned
            )
            now = clock()
            self.spent, begun = self.spent + now - begun, now
        if self.spent >= self.seconds and not self._over:
            self._over = True
            if pupil.lessons % every:
                with torch_alone():
                    pupil.examine()
            yield replace(nothing, learned=self._after(), said=self.said)

    @property
    def next_token(self) -> Policy:
        """The network with the adapter that did best on the rows put apart."""
        self.pupil.kept.write_into(self.pupil.acting, self.base)
        return Policy(self.pupil.acting, self.encoding, self.vocabulary, self.complexity)

    @property
    def said(self) -> str:
        """What came of it, in a sentence."""
        before, best, pupil = self._before, self.pupil.best, self.pupil
        if before is None or best is None:
            return "The network was not tuned."
        told = f"The network had {pupil.lessons} lesson{'s' * (pupil.lessons != 1)} in {self.spent:.3g} s"
        if pupil.best_lesson == 0:
            return f"{told}, after none of which it did better on rows put apart; it goes on as it was."
        return (
            f"{told}; on rows put apart the best of what it says gets a reward of {best.score:.2f}, "
            f"{before.score:.2f} before, with what it knew after lesson {pupil.best_lesson}, which it goes on with."
        )

    def _rules(self, task: Task) -> Rules:
        constraints = task.constraints
        legal = constraints.legal_tokens[self._spelled] & (self._spelled >= 0)
        first = self.base.vocabulary.first_variable
        operators = torch.ones(self.base.vocabulary.size, dtype=torch.bool)
        operators[:first] = torch.from_numpy(legal[:first])

        def allows(laws: Int[np.ndarray, "k l"]) -> Bool[np.ndarray, " k"]:
            return constraints.allows_each(self._spelled[laws])

        return Rules(operators, torch.from_numpy(legal[first:]), allows)

    def _new(self, laws: Int[np.ndarray, "b samples l"], rules: Rules) -> Integer[np.ndarray, "new length"]:
        """The laws that were not proposed before and are allowed, in the tokens of the search."""
        flat = laws.reshape(-1, laws.shape[-1])
        words = self._spelled[flat[rules.allows(flat)]].astype(np.int16)
        fresh = []
        for row, word in enumerate(map(tuple, words.tolist())):
            if word not in self._proposed:
                self._proposed.add(word)
                fresh.append(row)
        words = words[fresh]
        return words[:, : max(1, int((words != PAD).sum(axis=1).max(initial=1)))]

    def _says(self, found: Examined) -> tuple[Likely, ...]:
        """What it said when it was examined, in the tokens of the search."""
        return tuple(
            replace(law, tokens=tuple(self._spelled[list(law.tokens)].tolist())) for law in found.likely[0]
        )

    def _after(self) -> Learned:
        """What it says by the best adapter, where one did better than none."""
        best, lesson = self.pupil.best, self.pupil.best_lesson
        return Learned(lesson, says=() if best is None or lesson == 0 else self._says(best))
