"""Making things ahead of their use, in threads, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def ahead(make: Callable[[int], T], indices: Iterable[int], *, threads: int = 1, ahead: int = 2) -> Iterator[T]:
    """``make(k)`` for each of ``indices``, in their order, made by ``threads`` while earlier ones are in use.

    It pays where ``make`` leaves Python's lock alone for most of its time, as compiled kernels and tensor operations do. What ``make``
    raises is raised here, at its turn. A consumer that stops early, or is let go, leaves no thread behind.

    Args:
        make: called by several threads at once.
        indices: a finite pass.
        threads: 0: nothing is made before it is asked for, and in the caller's thread.
        ahead: how many are made, or in the making, beyond the one handed out last; 0 is the same as no threads.

    Example:
        >>> list(ahead(lambda k: k * k, range(4), threads=2))
        [0, 1, 4, 9]
    """
    if threads == 0 or ahead == 0:
        yield from map(make, indices)
        return
    left = iter(indices)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="graphssl-ahead")
    try:
        waiting: deque[Future[T]] = deque(pool.submit(make, k) for k in islice(left, ahead))
        while waiting:
            made = waiting.popleft().result()
            waiting.extend(pool.submit(make, k) for k in islice(left, 1))
            yield made
            del made  # so that the consumer alone decides how long it lives
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
