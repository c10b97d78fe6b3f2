"""Work in blocks, shared out among the cores: each thread computes a block alone.

Threads with a block each are quicker than one block after the other with all cores in every layer:
nobody waits for anybody, one reads while the other computes, and a busy machine only slows them.
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
AHEAD = 2  # blocks for each thread that may wait for the caller; bounds the memory


def shared_out(
    work: Callable[[Item], Result], items: Iterable[Item]
) -> Generator[Result, None, None]:
    """`work` of each item, in their order; `items` are taken in the caller's thread.

    Close it (`contextlib.closing`) to end it early: what is not begun yet is then never done.
    """
    waiting: deque[Future[Result]] = deque()
    with _threads() as (pool, count):
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= AHEAD * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def _threads() -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """As many threads as torch has cores, in each of which torch uses one."""
    count = torch.get_num_threads()
    with ThreadPoolExecutor(count, thread_name_prefix="blocks") as pool:
        begun = threading.Barrier(count + 1)
        for _ in range(count):
            pool.submit(_begin, begun)
        begun.wait()
        # torch takes the last number said for that of threads yet to come, which are not ours.
        torch.set_num_threads(count)
        try:
            yield pool, count
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin(begun: threading.Barrier) -> None:
    torch.get_num_threads()  # The first question sets the number; after it ours holds.
    torch.set_num_threads(1)
    begun.wait()
