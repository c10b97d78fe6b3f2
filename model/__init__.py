"""Images, encoders, heads, training, rules of review and evaluation: no database, no screen.

Floors, each importing only those to its left: errors, files, images, devices, threads | checkpoints
| estimators, evaluation | encoders, heads, review | training. Nothing here imports labeler or db.
"""

import os

# Threads that spin while they wait slow everything as soon as something else runs on the machine,
# and beside a training the app always does: 40 training steps took 32 s instead of 8 s on two busy
# cores. Read once, when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Numpy's threads always spin: fitting a second opinion took 14 s with two of them on two busy
# cores, 2 s with one. Read once, when numpy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
