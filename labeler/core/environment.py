"""Keep the environment that this program was started with, before anything else is imported.

What comes into `os.environ` later may be a library's doing (Streamlit puts secrets there), not the
person's.
"""

from __future__ import annotations

import os

STARTED_WITH = dict(os.environ)
