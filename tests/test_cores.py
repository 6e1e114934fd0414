"""The library's own threads start anew in a forked child, and the program's own settings stay as they were."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from children import forks, in_child
from threadpoolctl import threadpool_info

from lookalike.cores import Threads, _blas_with_own_threads, available_cores, one_core_each, use_cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone lets a process choose its cores")
def test_counts_the_cores_that_this_process_may_use() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert 1 <= available_cores() <= len(before)


def test_results_come_in_order_and_no_more_are_worked_on_than_asked_for() -> None:
    inside, most = 0, 0
    lock = threading.Lock()

    def work(number: int) -> int:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        threading.Event().wait(0.002)
        with lock:
            inside -= 1
        return -number

    threads = Threads("test", count=4)
    assert list(threads.map(work, range(40), most=2)) == [-number for number in range(40)]
    assert most <= 2


def test_an_error_reaches_the_caller_and_the_threads_go_on() -> None:
    threads = Threads("test", count=2)
    with pytest.raises(ZeroDivisionError):
        list(threads.map(lambda number: 1 // number, [1, 0, 1, 1], most=2))
    assert list(threads.map(abs, [-1, -2], most=2)) == [1, 2]


@forks
def test_a_forked_child_starts_its_own_threads() -> None:
    threads = Threads("test", count=2)
    assert list(threads.map(abs, [-1, -2, -3], most=2)) == [1, 2, 3]
    assert in_child(lambda: list(threads.map(abs, [-4, -5], most=2))) == "[4, 5]"


def numpys() -> int:
    (found,) = [each["num_threads"] for each in threadpool_info() if "numpy" in Path(each["filepath"]).parent.name]
    return int(found)


@pytest.mark.skipif(available_cores() < 2, reason="with one core there is nothing to limit")
def test_matrix_products_stay_on_one_core_until_the_last_thread_is_done() -> None:
    before = numpys()
    assert before > 1 and _blas_with_own_threads()
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_core_each():
            entered.set()
            leave.wait()

    with ThreadPoolExecutor(1) as pool:
        with one_core_each():
            done = pool.submit(other)
            entered.wait()
            assert numpys() == 1
        assert numpys() == 1
        leave.set()
        done.result()
    assert numpys() == before
    assert (np.ones((300, 300)) @ np.ones((300, 300)) == 300).all()


@forks
def test_a_child_that_is_forked_meanwhile_gets_all_cores_back() -> None:
    def enter_and_leave() -> int:
        with one_core_each():
            assert numpys() == 1
        return numpys()

    before = numpys()
    with one_core_each():
        assert in_child(enter_and_leave) == str(before)
    assert numpys() == before


def test_openmp_is_limited_in_the_calling_thread_alone() -> None:
    import torch

    torch.set_num_threads(2)

    def here(cores: int) -> int:
        torch.get_num_threads()
        use_cores(cores)
        return torch.get_num_threads()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(here, 1).result() == 1
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 2
    assert torch.get_num_threads() == 2
