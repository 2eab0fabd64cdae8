"""What a page is told of a search, with a page that loses, repeats and swaps messages."""

import base64
import json
import random

import numpy as np
import pytest

import nbsr
from nbsr.engine import search
from nbsr.notebook.sources import Finished
from nbsr.notebook.wire import MOST_DOTS, Dot, Feed, Sight, encoded, recorded, thinned
from nbsr.trace import unpacked

HOSTILE = ("</script><img src=x onerror=alert(1)>", "$x$", "<!--", "a\u2028b", "\ud800")
RUN = {"name": "", "formula": "y ~ x", "status": "running", "elapsed": 0.0, "evaluations": 0}


class Page:
    """The store of widgets/src/core/store.ts and the order of protocol.ts, as far as they concern the kernel."""

    APPENDED = ("nodes", "ends", "marks")

    def __init__(self):
        self.seq, self.waits = 0, False
        self.clear()

    def clear(self):
        self.replaced, self.laws, self.dots, self.log = {}, {}, {}, []
        self.tables = {name: {} for name in self.APPENDED}

    def receive(self, kind, seq, packet, buffers):
        """Whether the page says hello to that."""
        if kind == "whole":
            self.seq, self.waits = seq, False
            self.clear()
        elif seq <= self.seq or self.waits:
            return False
        elif seq > self.seq + 1:
            self.waits = True
            return True
        self.seq = seq
        for channel, value in decoded(packet, buffers).items():
            if channel == "laws":
                self.laws |= {law["id"]: law for law in value}
            elif channel == "dots":
                rows = zip(*(value[name].tolist() for name in ("id", "complexity", "fvu", "source", "born")))
                self.dots |= {row[0]: row for row in rows}
            elif channel == "log":
                self.log += value
            elif channel in self.APPENDED:
                for name, column in value.items():
                    self.tables[channel].setdefault(name, []).extend(column.tolist())
            else:
                self.replaced[channel] = value
        return False

    def state(self):
        """What it knows, the laws that were on the front once left out."""
        wanted = set(self.replaced["front"]["laws"])
        laws = {number: law for number, law in self.laws.items() if number in wanted}
        kept = {name: value for name, value in self.replaced.items() if name != "data"}
        return json.dumps([kept, laws, self.log, sorted(self.dots.items()), self.tables], sort_keys=True)


def decoded(value, buffers):
    if isinstance(value, dict) and {"dtype", "length", "data"} <= value.keys():
        if isinstance(value["data"], int):
            return np.frombuffer(buffers[value["data"]], "<" + value["dtype"])
        assert value.get("packed")
        return unpacked(value, np.dtype(value["dtype"]).type)
    if isinstance(value, dict):
        return {key: decoded(item, buffers) for key, item in value.items()}
    if isinstance(value, list):
        return [decoded(item, buffers) for item in value]
    return value


def frame(names=("x1", "x2"), rows=60):
    """Noisy, so that no search of it ends early."""
    dice = np.random.default_rng(0)
    X = dice.uniform(0.5, 3, (rows, len(names)))
    return nbsr.Table.from_arrays(X, 2.5 * np.sin(X[:, 0]) + X[:, 1] + dice.normal(0, 0.3, rows), names)


@pytest.fixture(autouse=True)
def without_a_clock(monkeypatch):
    """A snapshot after every batch, however fast they are."""
    monkeypatch.setattr("nbsr.engine.run._SOON", -1.0)
    monkeypatch.setattr("nbsr.engine.run._LATE", -1.0)


class Snapshots:
    """A search in steps of one snapshot."""

    def __init__(self, table, **settings):
        self.table = table
        self.steps = search(table, seconds=60, max_evaluations=1500, model="none", **settings)
        self.snapshot = next(self.steps)

    def step(self):
        following = next(self.steps, None)
        self.snapshot = following or self.snapshot
        return following is not None

    def sight(self):
        now = self.snapshot
        run = {**RUN, "elapsed": now.elapsed}
        return Sight(run, self.table, None, now.trace, now.front, now.picked, now.pinned, now.result)


@pytest.mark.parametrize("seed", range(4))
def test_a_page_that_misses_messages_ends_with_the_whole(seed):
    dice = random.Random(seed)
    source = Snapshots(frame(), method="evolve", seed=seed)
    feed, page, seq, held = Feed(source), Page(), 0, []

    def send(kind, packet):
        nonlocal seq
        seq += 1
        plain, buffers = encoded(packet)
        return kind, seq, json.loads(json.dumps(plain, allow_nan=False)), buffers

    greetings = 0
    page.receive(*send("whole", feed.whole()))
    while source.step():
        held.append(send("delta", feed.delta() or {}))
        fate = dice.random()
        if fate < 0.2 or seq == 3:
            held.pop()  # lost
        elif fate < 0.4:
            held.append(held[-1])  # twice
        elif fate < 0.6:
            continue  # later, with the next ones in another order
        dice.shuffle(held)
        for message in held:
            if page.receive(*message):
                greetings += 1
                page.receive(*send("whole", feed.whole()))
        held.clear()
    for message in (*held, send("delta", feed.delta() or {})):
        if page.receive(*message):
            page.receive(*send("whole", feed.whole()))
    fresh = Page()
    fresh.receive(*send("whole", feed.whole()))
    assert page.state() == fresh.state()
    assert page.dots and page.laws and page.log and greetings


def test_deltas_alone_end_with_the_whole():
    source = Snapshots(frame(), method="evolve")
    feed, page = Feed(source), Page()
    page.receive("whole", 1, *encoded(feed.whole()))
    seq = 1
    while source.step():
        packet = feed.delta()
        if packet is not None:
            seq += 1
            page.receive("delta", seq, *encoded(packet))
    fresh = Page()
    fresh.receive("whole", 1, *encoded(feed.whole()))
    assert page.state() == fresh.state() and seq > 3


def test_a_quiet_search_tells_only_its_clock_now_and_then():
    source = Snapshots(frame(), method="pairs")
    feed = Feed(source)
    feed.whole()
    assert set(feed.delta()) == {"run"}
    assert feed.delta() is None


@pytest.mark.parametrize("names", [HOSTILE[:2], HOSTILE[2:4]])
def test_hostile_names_travel_as_text(names):
    result = nbsr.regress(frame(names), seconds=20, max_evaluations=400, method="pairs", model="none")
    packet, buffers = encoded(Feed(Finished(result)).whole())
    told = json.loads(json.dumps(packet, allow_nan=False))
    assert told["run"]["columns"] == list(names) and buffers
    assert all("<img" not in law["mathml"] and "$x$" not in law["mathml"] for law in told["laws"])


def test_numbers_that_json_lacks_are_null_and_halves_of_characters_are_replaced():
    plain, buffers = encoded({"a": [np.nan, np.inf, 1.5], "b": HOSTILE[4], "c": np.array([np.nan], "f4")})
    assert plain["a"] == [None, None, 1.5] and plain["b"] == "?"
    assert np.isnan(np.frombuffer(buffers[plain["c"]["data"]], "<f4")).all()
    json.dumps(plain, allow_nan=False).encode()


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "u4", "i2", "u2", "u1"])
@pytest.mark.parametrize("size", [0, 1, 1000])
def test_recorded_arrays_come_back(dtype, size):
    array = np.arange(size).astype(dtype)
    told = recorded(array)
    if told.get("packed"):
        assert (unpacked(told, np.dtype(dtype).type) == array).all()
    else:
        assert (np.frombuffer(base64.b64decode(told["data"]), "<" + dtype) == array).all()


def test_arrays_that_the_page_cannot_read_are_refused():
    with pytest.raises(TypeError, match="int64"):
        encoded(np.arange(3))


def test_dots_are_bounded_and_the_best_among_them():
    class Many:
        def __init__(self):
            dice = np.random.default_rng(0)
            self.dots = [
                Dot(i, int(dice.integers(1, 30)), float(10 ** dice.uniform(-6, 0)), "pairs", float(i))
                for i in range(40_000)
            ]

        def sight(self):
            return Sight(RUN, dots=self.dots, seen=len(self.dots))

    source = Many()
    packet = Feed(source).whole()
    told = set(packet["dots"]["id"].tolist())
    assert 2_500 < len(told) <= MOST_DOTS
    assert packet["uncounted"]["dots"] == len(source.dots) - len(told)
    assert max(told) > 35_000  # the late ones have a share


def test_a_recording_keeps_the_best_ends():
    count = 100_000
    reward = np.random.default_rng(0).uniform(0, 1, count).astype("f4")
    ends = {"node": np.arange(count, dtype="u4"), "reward": reward}
    kept = thinned({"ends": ends})["ends"]
    assert len(kept["node"]) <= 30_000 and reward.max() in kept["reward"]
    assert (np.diff(kept["node"].astype(int)) > 0).all()
