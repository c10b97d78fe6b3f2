"""What the tests that press keys start from: an app on their project, and a page to look at."""

from __future__ import annotations

import sys
from pathlib import Path

# The helpers that make small projects lie beside the tests that need no browser.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from browsers import app, browser, page, serve  # noqa: F401 (fixtures)
