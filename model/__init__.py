"""Encoders, the head, its recipes and the rules of review: no database, no screen."""

import os

# Threads that wait for one another by spinning bring everything to a crawl as soon as anything else
# runs on the machine, and beside a training the app always does: 40 training steps took 32 s
# instead of 8 s on two busy cores. Read once, when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Likewise numpy's, which can't be told to sleep: fitting a second opinion took 14 s with two
# threads on two busy cores, 2 s with one. Read once, when numpy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
