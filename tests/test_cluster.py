"""Many tables on real workers: the same laws as one by one, whatever dies or is interrupted meanwhile."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster
from threadpoolctl import threadpool_limits

import nbsr
from nbsr.cluster import crew, desk, islands
from nbsr.cluster.progress import Progress
from nbsr.cluster.tables import named_tables
from nbsr.errors import UsageError
from nbsr.expression.custom import unregister
from nbsr.threads import at_most, cores

SHORT = {"seconds": None, "max_evaluations": 60, "method": "exhaustive", "model": "none"}
ENDLESS = {"seconds": None, "max_evaluations": 10**9, "method": "evolve", "model": "none"}


def sample(slope: float, rows: int = 24) -> pd.DataFrame:
    """A table of its own law for each slope."""
    rng = np.random.default_rng(int(10 * slope))
    x = rng.uniform(1, 5, rows)
    return pd.DataFrame({"x": x, "y": slope * x + x**2 + rng.normal(0, 0.1, rows)})


TABLES = {f"s{k}": sample(k) for k in range(1, 5)}
WHOLE = pd.concat([frame.assign(sample=name) for name, frame in TABLES.items()], ignore_index=True)


@pytest.fixture
def interruptible():
    """An interrupt is heard, also where the tests run in the background of a shell, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=3, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=None
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def seen(result: nbsr.Result) -> list[tuple]:
    """All that a search found."""
    return [(c.expression.tokens, c.expression.constants, c.fvu, c.order) for c in result.candidates_seen]


@pytest.fixture(scope="module")
def plain():
    """What `regress` finds in each table, with linear algebra in one thread as on the workers."""
    with threadpool_limits(1):
        return {name: nbsr.regress(frame, "y ~ x", **SHORT) for name, frame in TABLES.items()}


def test_tables_are_explained_as_by_themselves(client, plain):
    frame = pd.concat([WHOLE, pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, np.nan], "sample": ["few", None]})])
    laws = nbsr.regress_many(frame, "y ~ x", by="sample", client=client, **SHORT)
    assert list(laws) == list(TABLES) and list(laws.failures) == ["few"]
    for name, alone in plain.items():
        assert seen(laws[name]) == seen(alone)
        assert laws[name].picked == alone.picked and laws[name].notes == alone.notes
        assert laws.laws.law[name] == alone.equation
    assert "3" in laws.failures["few"] and laws.laws.failure["few"] == laws.failures["few"]
    assert laws.by == "sample" and laws.laws.index.name == "sample" and laws.ended == "finished"
    assert laws.notes == ("One row has no value of sample and belongs to no table.",)
    assert laws["s1"] is laws["s1"] and dict(laws.items())["s1"] is laws["s1"] and len(laws) == len(TABLES)
    for told in (repr(laws), laws._repr_html_()):
        assert "few" in told and "s4" in told and "4 tables with a law, 1 without" in told
    with pytest.raises(UsageError, match="There is no law for the table 'few': "):
        laws["few"]
    with pytest.raises(UsageError, match="There is no table 's9' among these. Did you mean"):
        laws["s9"]


def test_a_worker_that_dies_loses_nothing(client, plain):
    killed = []

    def kill(progress: Progress) -> None:
        if not killed and (progress.now or progress.done):
            pids = client.run(os.getpid)
            busy = [worker for worker, _ in progress.now if worker in pids] or sorted(pids)
            killed.append(pids[busy[0]])
            os.kill(killed[0], signal.SIGKILL)

    tables = {f"{name}-{turn}": frame for turn in range(2) for name, frame in TABLES.items()}
    laws = nbsr.regress_many(tables, "y ~ x", client=client, progress=kill, **SHORT)
    assert killed and killed[0] not in client.run(os.getpid).values()
    assert list(laws) == list(tables) and not laws.failures
    assert all(seen(laws[name]) == seen(plain[name.partition("-")[0]]) for name in tables)


ISLANDS = {"seconds": None, "max_evaluations": 240, "method": "exhaustive", "model": "none"}


@pytest.fixture(scope="module")
def sea(client):
    """What three islands find in one table."""
    client.wait_for_workers(3, timeout=60)  # one was killed
    return nbsr.regress(TABLES["s1"], "y ~ x", client=client, **ISLANDS)


def test_islands_put_together_what_they_find(client, sea):
    assert sea.ended == "finished" and sea.settings["max_evaluations"] == 240
    assert sea.settings["method"] == "exhaustive" and sea.settings["seed"] == 0
    assert any(note == "3 islands searched on 3 workers in 4 rounds." for note in sea.notes)
    assert len({c.order for c in sea.candidates_seen}) == len(sea.candidates_seen)
    with threadpool_limits(1):
        alone = nbsr.regress(TABLES["s1"], "y ~ x", **ISLANDS | {"max_evaluations": 20})
    # what the first island found in its first round is still there, or something shorter that fits as well
    for law in alone.front_candidates:
        assert any(
            c.fvu <= law.fvu * (1 + 1e-6) and c.complexity <= law.complexity for c in sea.candidates_seen
        )
    assert sea.best.nats <= alone.best.nats + 1e-6 and str(sea.best)


def test_an_island_that_sinks_takes_nothing_with_it(client, sea):
    pids = client.run(os.getpid)
    again = []
    searching = threading.Thread(
        target=lambda: again.append(nbsr.regress(TABLES["s1"], "y ~ x", client=client, **ISLANDS))
    )
    searching.start()
    while searching.is_alive() and not any(client.run(lambda: list(desk._desks)).values()):
        time.sleep(0.01)
    os.kill(next(iter(pids.values())), signal.SIGKILL)
    searching.join()
    assert seen(again[0]) == seen(sea) and again[0].picked == sea.picked
    assert set(client.run(os.getpid).values()) != set(pids.values())


def test_a_search_goes_on_from_islands(sea):
    more = nbsr.regress(TABLES["s1"], "y ~ x", resume=sea, **SHORT)
    assert len(more.candidates_seen) >= len(sea.candidates_seen)
    assert more.best.nats <= sea.best.nats + 1e-6


def test_an_interrupt_ends_all_islands(client, interruptible):
    def interrupt() -> None:
        while not any(client.run(lambda: [desk.sights(job) for job in list(desk._desks)]).values()):
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    timer = threading.Thread(target=interrupt)
    timer.start()
    result = nbsr.regress(TABLES["s1"], "y ~ x", client=client, **ISLANDS | {"max_evaluations": 10**9})
    timer.join()
    assert result.ended == "interrupted" and result.candidates_seen and result.best.fvu < 1


@pytest.mark.parametrize(("left", "length"), [(0.2, 0.2), (5.0, 5.0), (9.0, 4.5), (54.0, 54 / 14)])
def test_rounds_of_islands_are_of_a_few_seconds(left, length):
    assert islands._round_of(left) == length


def test_a_slip_of_all_islands_is_raised(client):
    with pytest.raises(UsageError, match="no method 'evolv'"):
        nbsr.regress(TABLES["s1"], "y ~ x", client=client, method="evolv")
    with pytest.raises(UsageError, match="takes no control"):
        nbsr.regress(TABLES["s1"], "y ~ x", client=client, control=nbsr.Control())


def test_an_interrupt_keeps_what_was_found(client, interruptible):
    told = []

    def interrupt(progress: Progress) -> None:
        if any(sight.law for _, sight in progress.now) and not told:
            told.append(f"{progress}{progress._repr_html_()}")
            signal.raise_signal(signal.SIGINT)

    tables = dict.fromkeys(range(9), TABLES["s1"])
    laws = nbsr.regress_many(tables, "y ~ x", client=client, progress=interrupt, **ENDLESS)
    assert told[0].startswith("0 of 9 tables") and "nbsr-progress" in told[0]
    assert laws.ended == "interrupted" and "Interrupted" in laws.ending
    assert len(laws.failures) == 9 - len(laws)
    assert 1 <= len(laws) <= 3 and all(result.ended == "interrupted" for result in laws.values())
    assert desk.UNTRIED in laws.failures.values()
    assert not any(client.run(lambda: dict(desk._desks)).values())


def test_this_process_is_interrupted_too(interruptible):
    def interrupt(progress: Progress) -> None:
        if any(sight.law for _, sight in progress.now):
            signal.raise_signal(signal.SIGINT)

    with at_most(1):
        laws = nbsr.regress_many([TABLES["s1"]] * 2, "y ~ x", progress=interrupt, **ENDLESS)
    assert list(laws) == [0] and laws.failures == {1: desk.UNTRIED} and not desk._desks


def test_a_worker_with_another_version_is_told(client):
    def be(version: str) -> None:
        import nbsr

        nbsr.__version__ = version

    other = next(iter(client.nthreads()))
    client.run(be, "0.0.9", workers=[other])
    try:
        with pytest.raises(UsageError, match=f"The worker {other} has nbsr 0.0.9, and this is nbsr 0.1.0"):
            nbsr.regress_many(TABLES, "y ~ x", client=client, **SHORT)
    finally:
        client.run(be, nbsr.__version__, workers=[other])


def test_workers_know_the_operators_of_the_person(client):
    nbsr.register("twice_plus", "2*a + 1")
    try:
        laws = nbsr.regress_many(
            {"a": TABLES["s1"]}, "y ~ x", client=client, operators=("+", "*", "twice_plus"), **SHORT
        )
        assert any("twice_plus" in c.expression.operators for c in laws["a"].candidates_seen)
    finally:
        unregister("twice_plus")


def test_a_slip_in_all_tables_is_raised(client):
    with pytest.raises(UsageError, match="'z'"):
        nbsr.regress_many(TABLES, "y ~ z", client=client, **SHORT)
    with pytest.raises(UsageError, match="no method 'evolv'"):
        nbsr.regress_many(TABLES, "y ~ x", client=client, method="evolv")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"client": "tcp://host:8786"}, "'client' is a dask.distributed.Client"),
        ({"control": nbsr.Control()}, "'control' is of one search"),
        ({"weights": np.ones(3)}, "The weights of many tables are a column's name"),
        ({"data": WHOLE}, "say by which column"),
        ({"data": WHOLE, "by": "sampel"}, "There is no column 'sampel' .* Did you mean 'sample'"),
        ({"data": TABLES, "by": "sample"}, "by= splits one DataFrame; got a dict"),
        ({"data": {}}, "There is no table"),
        ({"data": {"a": 3}}, "expected as table 'a', not a int"),
        ({"data": [("a", WHOLE), ("a", WHOLE)]}, "Two tables are called 'a'"),
        ({"data": 3}, "got a int"),
        ({"data": WHOLE.assign(sample=None), "by": "sample"}, "No row has a value of sample"),
    ],
)
def test_slips_are_told_before_anything_begins(arguments, said):
    with pytest.raises(UsageError, match=said):
        nbsr.regress_many(**{"data": TABLES, "formula": "y ~ x", **arguments})


@pytest.mark.parametrize(
    ("data", "by", "names", "column"),
    [
        (TABLES, None, list(TABLES), ""),
        (list(TABLES.values()), None, [0, 1, 2, 3], ""),
        (list(TABLES.items()), None, list(TABLES), ""),
        (WHOLE.groupby("sample"), None, list(TABLES), "sample"),
        (WHOLE, "sample", list(TABLES), "sample"),
        (WHOLE.iloc[::-1], "sample", list(TABLES)[::-1], "sample"),
        (WHOLE.assign(half=0), ["sample", "half"], [(name, 0) for name in TABLES], "sample, half"),
        (WHOLE.astype({"sample": "category"}), "sample", list(TABLES), "sample"),
    ],
)
def test_tables_have_names(data, by, names, column):
    tables, told, notes = named_tables(data, by)
    assert list(tables) == names and told == column and not notes
    for frame, name in zip(tables.values(), names, strict=True):
        known = TABLES[name[0] if isinstance(name, tuple) else name] if not isinstance(name, int) else None
        assert known is None or sorted(frame["y"]) == sorted(known["y"])
        assert list(frame.columns) == ["x", "y"]


def test_fewer_threads_are_of_one_thread():
    other = []
    with at_most(1):
        assert cores() == 1
        thread = threading.Thread(target=lambda: other.append(cores()))
        thread.start()
        thread.join()
    assert other == [cores()]


SCRIPT = """
import pandas as pd, nbsr
from nbsr.cluster import crew, many
many.cores = lambda: 2
frame = pd.DataFrame({"x": [1.0, 2, 3, 4] * 4, "y": [2.0, 4, 6, 8] * 4, "g": [*"aaaabbbbccccdddd"]})
frame = frame.sample(frac=1, random_state=0)
laws = nbsr.regress_many(frame, "y ~ x", by="g", seconds=None, max_evaluations=20, method="evolve", model="none")
print([result.best.expression.infix(4) for result in laws.values()])
"""


@pytest.mark.skipif(not hasattr(os, "getsid"), reason="processes are looked for by their session")
def test_a_script_without_a_guard_has_workers_of_its_own(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    run = subprocess.run(
        [sys.executable, "-W", "error", tmp_path / "script.py"], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(["2*x"] * 4) and not run.stderr


def test_the_workers_of_its_own_are_gone_with_it():
    import psutil

    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with crew.local(2) as client:
        assert len(crew.threads_of(client)) == 2
        during = {child.pid for child in psutil.Process().children(recursive=True)} - before
        assert len(during) >= 3
    deadline = time.monotonic() + 30
    while any(psutil.pid_exists(pid) for pid in during) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(psutil.pid_exists(pid) for pid in during)


def test_a_cell_finds_a_law_for_each_table(shell):
    shell.run_line_magic("load_ext", "nbsr")
    shell.user_ns["df"] = WHOLE
    line = "df --by sample --method exhaustive --model none --max-evaluations 60 --seconds 60 -o laws"
    with at_most(1):
        laws = shell.run_cell_magic("regress", line, "y ~ x\nmax_complexity: 6")
    assert isinstance(laws, nbsr.Results) and list(laws) == list(TABLES) and shell.user_ns["laws"] is laws
    assert laws["s1"].settings["max_complexity"] == 6 and laws["s1"].settings["seconds"] == 60
    assert laws.by == "sample"


def test_a_cell_that_is_interrupted_keeps_its_laws(shell, interruptible):
    shell.run_line_magic("load_ext", "nbsr")
    shell.user_ns["df"] = WHOLE
    line = "df --by sample --method evolve --model none --max-evaluations 1e9 --seconds 600 -o laws"
    timer = threading.Thread(target=interrupted_once_there_is_a_law)
    with at_most(1), pytest.raises(KeyboardInterrupt, match="What was found is kept in laws and _."):
        timer.start()
        shell.run_cell_magic("regress", line, "y ~ x")
    timer.join()
    assert list(shell.user_ns["laws"]) == ["s1"] and len(shell.user_ns["laws"].failures) == 3


def interrupted_once_there_is_a_law() -> None:
    while not any(sight.law for job in list(desk._desks) for sight in desk.sights(job)):
        time.sleep(0.01)
    signal.raise_signal(signal.SIGINT)
