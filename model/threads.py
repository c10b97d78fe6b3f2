"""Work in blocks on all cores: each thread computes a block alone.

Threads with a block each are quicker than one block after the other with all cores in every layer:
no thread waits for another, one reads while the other computes, and a busy machine only slows them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
BLOCKS_AHEAD = 2  # results for each thread that may wait for the caller; bounds the memory


def parallel_map(
    work: Callable[[Item], Result], items: Iterable[Item]
) -> Generator[Result, None, None]:
    """Yield `work` of each item, in their order; `items` are taken in the caller's thread.

    Close it (`contextlib.closing`) to end it early: what has not started is then never done.
    """
    pending: deque[Future[Result]] = deque()
    with _thread_pool() as (pool, count):
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= BLOCKS_AHEAD * count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


@contextmanager
def _thread_pool() -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """Yield as many threads as torch has cores, in each of which torch uses one."""
    count = torch.get_num_threads()
    with ThreadPoolExecutor(count, thread_name_prefix="blocks") as pool:
        started = threading.Barrier(count + 1)
        for _ in range(count):
            pool.submit(_start_thread, started)
        started.wait()
        # torch takes the last number set anywhere for threads yet to come, which are not ours.
        torch.set_num_threads(count)
        try:
            yield pool, count
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_thread(started: threading.Barrier) -> None:
    torch.get_num_threads()  # the first call sets this thread's number; after it ours holds
    torch.set_num_threads(1)
    started.wait()
