"""How many threads are worth while, and the lock of all imports."""

import _imp
import math
import os
import subprocess
import sys
import threading

import pytest
import torch

from nbsr.threads import cores, free_imports, quota, torch_alone


def group(mount, path, **files):
    place = mount / path
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize(
    "own, groups, expected",
    [
        ("", {}, math.inf),
        ("0::/\n", {"": {"cpu__max": "150000 100000\n"}}, 1.5),  # a container that sees its own group as the root
        ("0::/\n", {"": {"cpu__max": "max 100000\n"}}, math.inf),
        ("0::/pod/kernel\n", {"pod/kernel": {"cpu__max": "max 100000"}, "pod": {"cpu__max": "200000 100000"}}, 2),
        ("0::/pod/kernel\n", {"pod/kernel": {"cpu__max": "50000 100000"}, "pod": {"cpu__max": "200000 100000"}}, 0.5),
        ("0::/outside/alone\n", {"": {"cpu__max": "100000 100000"}}, 1),  # named as outside, mounted as inside
        ("0::/\n", {"": {"cpu__max": "some words"}}, math.inf),
        ("0::/\n", {"": {"cpu__max": "100000 0"}}, math.inf),
        (
            "12:memory:/a\n4:cpu,cpuacct:/docker/a\n0::/\n",
            {"cpu/docker/a": {"cpu__cfs_quota_us": "300000\n", "cpu__cfs_period_us": "100000\n"}},
            3,
        ),
        ("4:cpu:/a\n", {"cpu/a": {"cpu__cfs_quota_us": "-1\n", "cpu__cfs_period_us": "100000\n"}}, math.inf),
        ("4:cpuset:/a\n", {"cpu/a": {"cpu__cfs_quota_us": "1000\n", "cpu__cfs_period_us": "100000\n"}}, math.inf),
    ],
)  # fmt: skip
def test_what_the_control_groups_grant(own, groups, expected, tmp_path):
    (tmp_path / "own").write_text(own)
    for path, files in groups.items():
        group(tmp_path / "mount", path, **files)
    assert quota(tmp_path / "own", tmp_path / "mount") == expected


def test_without_control_groups_nothing_is_limited(tmp_path):
    assert quota(tmp_path / "none", tmp_path) == math.inf


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_a_process_that_is_bound_to_one_core_has_one():
    ask = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
    ask += "from nbsr.threads import cores; print(cores())"
    assert subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True).stdout == "1\n"
    assert 1 <= cores() <= os.cpu_count()


def in_thread(ask):
    told = []
    thread = threading.Thread(target=lambda: told.append(ask()))
    thread.start()
    thread.join()
    return told[0]


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_torch_computes_alone_and_the_user_s_own_setting_stands(three_threads):
    with torch_alone():
        assert torch.get_num_threads() == 1
        assert in_thread(torch.get_num_threads) == 3
        with torch_alone():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3

    def elsewhere():
        with torch_alone():
            return torch.get_num_threads()

    assert in_thread(elsewhere) == 1
    assert torch.get_num_threads() == 3 and in_thread(torch.get_num_threads) == 3


def test_after_a_failure_too(three_threads):
    with pytest.raises(ZeroDivisionError), torch_alone():
        1 / 0  # noqa: B018
    assert torch.get_num_threads() == 3


def test_a_lock_that_an_interrupt_left_here_is_given_back():
    for times in (0, 1, 2):
        for _ in range(times):
            _imp.acquire_lock()
        assert _imp.lock_held() == bool(times)
        free_imports()
        assert not _imp.lock_held()


def test_a_lock_that_another_thread_holds_is_left_to_it():
    held, enough = threading.Event(), threading.Event()

    def importing():
        _imp.acquire_lock()
        held.set()
        enough.wait()
        _imp.release_lock()

    thread = threading.Thread(target=importing)
    thread.start()
    held.wait()
    free_imports()
    assert _imp.lock_held()
    enough.set()
    thread.join()
    assert not _imp.lock_held()
