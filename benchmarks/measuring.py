"""What the benchmarks share: the machine's name, a stopwatch, a table."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any


def machine() -> str:
    """Processor, cores, memory, load, GPU if there is one, torch: the head line of a table."""
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB{gpu}, load {load}, "
        f"torch {torch.__version__}"
    )


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what `work` returned."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def best(work: Callable[[], Any], repeats: int = 3) -> float:
    """The least seconds of several runs: other programs only ever add to it."""
    return min(timed(work)[0] for _ in range(repeats))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, as it stands in benchmarks/README.md."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
