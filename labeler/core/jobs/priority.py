"""Long work gives way: it takes every core that nobody else wants, and the pages stay quick."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

# The work has a third of the share of a program that wants the same core. At 10 it would have a
# tenth, and on a machine that eight other programs keep busy an import would show nothing for
# minutes. Where Linux divides the processor among sessions (autogroup) the niceness counts only
# inside a session, and that of the session itself stays as it is, for the same reason.
NICENESS = 5


def give_way() -> None:
    """Lower the priority of this process for good; call it before there are any threads."""
    if sys.platform == "win32":
        return
    os.nice(NICENESS)
    # Refused in some containers; the niceness is most of it.
    with suppress(OSError):
        if hasattr(os, "sched_setscheduler"):
            # Waking up with a batch of work to do is no reason to interrupt anybody.
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
