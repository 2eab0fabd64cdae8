"""What comes next: the batches of a search, in the order in which its methods take turns."""

import math
import sys
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nbsr import models
from nbsr.engine.archive import Archive, Record
from nbsr.engine.clock import Clock
from nbsr.engine.control import Control
from nbsr.engine.methods import Said, Turns, asking, first, overheard, plain, untried
from nbsr.engine.resume import Before
from nbsr.engine.settings import NEED_NETWORK, Settings
from nbsr.engine.units import clash
from nbsr.engine.work import Work
from nbsr.errors import UsageError
from nbsr.generate.base import Method, Phrase, Proposals, Steering, Task, pack_phrases
from nbsr.generate.bricks import parts_of
from nbsr.generate.pairs import pairs
from nbsr.generate.spectrum import peaks_of, spectrum, waves
from nbsr.network import Network, Told, explained, find, sparing
from nbsr.refine import Fits

if TYPE_CHECKING:
    from nbsr.reinforcement.within import TableTuning

__all__ = ["Schedule"]

# Turns of `auto` are counted in batches, so that a budget of evaluations gives the same candidates anywhere; where
# there is none, a slow machine comes to the network after some time all the same.
WAKE, WAKE_SECONDS = 20, 1.0  # of pairs, or seconds, before the network is made ready beside them
PATIENCE = 0.5  # share of the seconds to wait for a network where candidates are the limit
WATCH = 0.05  # seconds between looks at whether the search goes on
GLANCE = 0.2  # seconds to wait for a network where torch is there, or being loaded just now
HUNT, HUNT_SHARE = 60, 0.5  # of pairs, or of the time, before any other method
GLIMPSE = 2  # of pairs, before the laws of textbooks
LISTEN, LISTEN_SHARE = 10, 0.3  # of pairs, or of the time for them, before waves are looked for
WAVED = 8  # of pairs with the waves of a periodogram, where it has peaks
UNSAID, MANY = (
    0.05,
    4,
)  # share of the variance that every law has left by then, and columns: sums are tried from there on
ROUND = (("network", 1), ("evolve", 4), ("pairs", 2), ("parts", 1), ("waves", 1))  # every method of `auto`
ASKED = (("bricks", 2), ("softmax", 1), ("mcts", 1))  # turns within those of the network
DRAWN = 512  # laws that the network is asked for
QUARRIED = 48  # of those, the best and the likeliest from which bricks are taken, each
BRICKS = 200

BROAD = ("additive", "evolve")  # methods that can look at very many columns
HEARING = ("evolve", "rsrm", "imcts")  # methods without a network that want to know how their laws fit

LATE = "The network was not ready within half of the seconds, so another run may find other laws. Give more of them."
UNASKED = "There was no network to ask for laws of a certain complexity."


class Schedule:
    """The batches of one search.

    Arguments:
        spent: whether the budget is used up.
        note: takes a sentence for the person.
        steering: what the person wants of the trees.
        before: the search that goes on; what it tried is not tried again.
        parts: the method where the table has a template; it asks the person's for each unknown.

    Attributes:
        forced: beginnings of every law that is decoded; a decode begins anew when they change.
        favoured: laws to breed from beside the front, by their tokens.
        knows: the network, once it was told the table.
    """

    def __init__(
        self,
        work: Work,
        settings: Settings,
        archive: Archive,
        clock: Clock,
        control: Control,
        spent: Callable[[], bool],
        note: Callable[[str], None],
        steering: Steering,
        before: Before | None = None,
        parts: Callable[[], Method] | None = None,
    ):
        self.work, self.settings, self.archive = work, settings, archive
        self.clock, self.control, self.spent, self.note = clock, control, spent, note
        self.steering, self.before, self.parts = steering, before, parts
        self.trees: list[str] = []
        self.forced: tuple[tuple[int, ...], ...] = ()
        self.favoured: dict[tuple[int, ...], Record] = {}
        self.knows: Told | None = None
        self._network: Network | None = None
        self._sought = False
        self._tuning: TableTuning | None = None
        self._taught: Told | None = None  # the network that was tuned
        self._lost = False  # whether the network failed, which was said

    def batches(self) -> Method:
        """The person's own laws, and then those of the method."""
        start = self.starting_laws()
        if start:
            tokens, constants = pack_phrases(start)
            yield Proposals(tokens, constants, "start", restarts=16, steps=60)
        name = self.settings.method_name
        if self.parts is not None:
            yield from self.parts()
        elif name == "auto":
            yield from self.auto(self.task())
        elif name in NEED_NETWORK:
            yield from self.asking(name)
        else:
            if self.settings.complexity is not None:
                self.note(UNASKED)
            yield from first(self.plain(name, self.task()), self.settings.choices)

    def plain(self, name: str, task: Task) -> Method:
        """A method that needs no network; in a search that goes on without what was tried before."""
        task = task if name in BROAD else replace(task, constraints=self.work.closely)
        method = plain(name, task, self.settings.left_out)
        return method if self.before is None or name in HEARING else untried(method, self.archive.records)

    def task(self) -> Task:
        """What every method is told."""
        rows = self.work.rows
        return Task(
            inputs=rows.inputs, response=rows.response, weights=self.work.weights, vocabulary=self.work.vocabulary,
            constraints=self.work.constraints, seed=self.seed,
            ends=self.work.ends, best=self.best, steering=self.steering, trees=self.trees,
            left=lambda: self.clock.remaining - self.clock.wrap_up, screen=self.work.backend,
        )  # fmt: skip

    @property
    def seed(self) -> int:
        """Of what methods draw: another one for each time that a search goes on, so that it tries other laws."""
        return self.settings.seed + (0 if self.before is None else self.before.numbers)

    def best(self) -> list[tuple[tuple[int, ...], tuple[float, ...], float]]:
        """Laws to breed from: the front, and what the person favours."""
        favoured = [r for r in self.favoured.values() if r.tokens in self.archive.records]
        reference = self.work.reference
        return [
            (r.tokens, reference(r.tokens, r.constants), r.fvu)
            for r in [*self.archive.contenders(), *favoured]
        ]

    def starting_laws(self) -> list[Phrase]:
        """The person's own laws, constants free; those that a later rule forbids are left out."""
        laws = []
        for text in self.settings.start:
            law = self.work.read(text)
            if not self.work.constraints.allows(law):
                if self.archive.barred or self.archive.records:
                    continue
                units = clash(law, self.work.narrow, self.work.dimensions)
                raise UsageError(
                    f"The starting law {text!r} does not obey the units of this search: {units}"
                    if units
                    else f"The starting law {text!r} does not obey the constraints of this search."
                )
            laws.append(Phrase(law.tokens, law.constants, law.complexity))
        return laws

    # -- auto

    def auto(self, task: Task) -> Method:
        """Pairs, of what the network does not hold for unlikely; then in turn with evolution and what it says.

        A search that goes on makes pairs of the parts of its best laws, too.
        """
        network = self.network()
        if network is not None:
            task = replace(task, odds=lambda heard=network: heard.odds)
            if self.settings.counted:
                self.come_in_time(network)
            elif "torch" in sys.modules:
                network.wait(GLANCE)
        turn = Turns(
            pairs=self.plain("pairs", task),
            textbook=self.plain("textbook", task),
            evolve=self.plain("evolve", task),
        )
        broad, task = task, replace(task, constraints=self.work.closely)
        if self.before is None or not self.before.hunted:
            yield from self.hunt(turn, network, task, broad)
        else:
            parts = parts_of([Phrase(t, c, 0) for t, c, _ in self.best()], self.work.vocabulary, BRICKS)
            turn.add("parts", untried(pairs(task, parts), self.archive.records))
        while turn or network is not None:
            if network is not None and (network.ready or not turn):
                if not self.came(network, self.spent):
                    return
                turn.add("lessons", self.forgiving(self.schooled(network, task)))
                yield from turn("lessons")
                turn.add("network", self.forgiving(self.listen(network, task)))
                network = None
            for name, batches in ROUND:
                yield from turn(name, batches)

    def hunt(self, turn: Turns, network: Network | None, task: Task, broad: Task) -> Method:
        """Pairs alone, but for a glimpse of laws and waves; the network is made ready beside them.

        Where time is the limit, not for too long.
        """
        enough = HUNT_SHARE * ((self.settings.seconds or math.inf) - (self.settings.finetune or 0.0))
        yield from turn("pairs", GLIMPSE)
        yield from turn("textbook")
        listened = False
        for batches in range(GLIMPSE, HUNT):
            if network is not None and (batches == WAKE or self.clock.own > WAKE_SECONDS):
                network.begin()
            late = not self.settings.counted and self.clock.own > LISTEN_SHARE * enough
            if not listened and (batches >= LISTEN or late):
                listened = True
                yield from self.sums(turn, broad)
                yield from self.waves(turn, task)
            if self.clock.own > enough and not self.settings.counted:
                return
            yield from turn("pairs", 1)

    def waves(self, turn: Turns, task: Task) -> Method:
        """Laws of the waves that a periodogram shows, and pairs that are built of them."""
        found = peaks_of(task)
        if found:
            turn.add("spectrum", spectrum(task, found))
            yield from turn("spectrum")
            turn.add("waves", pairs(task, waves(task, found)))
            yield from turn("waves", WAVED)

    def sums(self, turn: Turns, task: Task) -> Method:
        """Sparse sums of short terms, where there are many columns and no law yet that says most of the target."""
        least = min((record.fvu for record in self.archive.best.values()), default=math.inf)
        if least > UNSAID and len(task.constraints.variables) >= MANY:
            turn.add("additive", self.plain("additive", task))
            yield from turn("additive")

    def listen(self, network: Network, task: Task) -> Method:
        """What the network says of the table, pairs that are built of its words and by its odds, and tree search."""
        told = yield from self.schooled(network, task)
        said: list[Said] = []
        drawn = overheard(self.steered("softmax", task, told, self.settings.choices or DRAWN), said)
        turn = Turns(softmax=drawn)
        yield from turn("softmax", 1)
        bricks = self.bricks(said)
        if bricks:
            turn.add("bricks", pairs(task, bricks))
        turn.add("mcts", self.steered("mcts", task, told, None))
        while turn:
            for name, batches in ASKED:
                yield from turn(name, batches)

    def bricks(self, said: list[Said]) -> list[Phrase]:
        """The parts of the best and of the likeliest laws that the network said."""
        laws = sorted((law for law in said if math.isfinite(law.fvu)), key=lambda law: law.fvu)
        likely = sorted(laws, key=lambda law: -law.log_prob)
        chosen = [Phrase(law.tokens, law.constants, 0) for law in laws[:QUARRIED] + likely[:QUARRIED]]
        return parts_of(dict.fromkeys(chosen), self.work.vocabulary, BRICKS)

    # -- the network

    def asking(self, name: str) -> Method:
        """A method that needs a network; the clock stands still until that is ready."""
        network = self.network()
        if network is None or not network.ready:
            yield Proposals(np.empty((0, 1), np.int16), None, "loading the network")
        self.clock.hold()
        came = network is not None and self.came(network)
        self.clock.release()
        if not came:
            return
        assert network is not None
        told = yield from self.schooled(network, self.task())
        try:
            yield from self.steered(name, self.task(), told, self.settings.choices)
        except UsageError as failure:
            if not self.archive.records:
                raise
            self.note(f"The search ended early: {failure}")

    def steered(self, name: str, task: Task, told: Told, choices: int | None) -> Method:
        """A method that asks the network, begun anew whenever the person forces other beginnings."""
        while True:
            forced = self.forced
            method, fits = asking(name, replace(task, forced=forced), told, choices), None
            try:
                while self.forced == forced:
                    fits = yield method.send(fits)
            except StopIteration:
                return
            finally:
                method.close()

    def schooled(self, network: Network, task: Task) -> Generator[Proposals, Fits | None, Told]:
        """The network that knows the table, tuned on it where that is asked for; its lessons are batches of the search.

        Where a lesson fails, the network goes on as it was; where the methods begin anew, the lessons go on.
        """
        told, seconds = self.told(network), self.settings.finetune
        if seconds is None or self._taught is not None:
            return self._taught or told
        try:
            if self._tuning is None:
                self._tuning = told.tuning(task, seconds)
            yield from self._tuning.lessons(task, lambda: self.clock.own)
            self._taught = replace(told, next_token=sparing(self._tuning.next_token))
        except Exception as failure:
            self.note(
                f"Fine-tuning ended early, and the network goes on as it was. {explained(failure).message}"
            )
            self._taught = told
        return self._taught

    def network(self) -> Network | None:
        """The network on its way, or None where the search does without; sought once."""
        if not self._sought:
            self._sought = True
            self._network = self._seek()
        return self._network

    def _seek(self) -> Network | None:
        model = find(self.settings.model)
        if model is None:
            if self.settings.complexity is not None:
                self.note(UNASKED)
            return None
        try:
            models.find(model)
        except UsageError as failure:
            self.gone(failure)
            return None
        rows = self.work.rows
        return Network(
            model,
            rows.inputs,
            rows.response,
            self.work.vocabulary,
            self.settings.complexity,
            self.settings.device,
        )

    def came(self, network: Network, over: Callable[[], bool] = lambda: False) -> bool:
        """Wait for the network until it is ready, the search is stopped or this says enough; whether it is ready."""
        while not (network.ready or self.control.stopped or over()):
            network.wait(WATCH)
        return network.ready

    def come_in_time(self, network: Network) -> None:
        """Wait for the network for half of the seconds at most, and note where that is too short."""
        until = PATIENCE * (self.settings.seconds or math.inf)
        self.came(network, lambda: self.spent() or self.clock.own > until)
        if not network.ready and self.clock.own > until:
            self.note(LATE)

    def told(self, network: Network) -> Told:
        """Wait until the network knows the table, and note once which columns it was not told."""
        if self.knows is not None:
            return self.knows
        told = self.knows = network.answer()
        if told.left_out:
            names = [self.work.vocabulary.variables[column] for column in told.left_out]
            said = names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"]
            listed = " and ".join([", ".join(said[:-1]), said[-1]] if said[1:] else said)
            self.note(
                f"The network knows {told.variables} columns and was told the most relevant; "
                f"{listed} {'are' if names[1:] else 'is'} left to the other methods."
            )
        return told

    def forgiving(self, method: Generator[Proposals, Fits | None, object]) -> Method:
        """A method that asks the network; it ends with a note where the network fails."""
        try:
            yield from method
        except UsageError as failure:
            self.gone(failure)

    def gone(self, failure: UsageError) -> None:
        """Note once that the network failed."""
        if self._lost:
            return
        self._lost = True
        self.note(f"The search went on without the network. {failure}")
