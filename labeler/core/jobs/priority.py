"""Long work gives way: it takes every core that nobody else wants, and the pages stay quick."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

# A tenth of the share of whoever else wants the core: the pages stay quick, and on a machine that
# is busy with something else the work still goes on, as it would hardly at 19.
NICENESS = 10
AUTOGROUP = Path("/proc/self/autogroup")


def give_way(*, own_session: bool = False) -> None:
    """Lower the priority of this process for good; call it before there are any threads.

    `own_session`: the process leads a session of its own. Linux desktops share the processor out
    among sessions first, whatever the niceness inside them; then the session is lowered as well.
    """
    if sys.platform == "win32":
        return
    os.nice(NICENESS)
    # Refused in some containers; the niceness is most of it.
    with suppress(OSError):
        if hasattr(os, "sched_setscheduler"):
            # Waking up with a batch of work to do is no reason to interrupt anybody.
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with suppress(OSError):
        if own_session and AUTOGROUP.exists():
            AUTOGROUP.write_text(str(NICENESS), encoding="ascii")
