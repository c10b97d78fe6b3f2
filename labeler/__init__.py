"""The workflow: what the command line and the pages both call, on top of `model/` and `db/`."""

import os

# One thread for numpy's matrices: its waiting threads spin, which costs more than they bring as
# soon as anything else runs. Set before anything imports numpy (see model/__init__.py).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
