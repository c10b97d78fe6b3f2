"""What the tests that press keys start from: an app on their project, and a page to look at."""

from __future__ import annotations

from tests.support.browsers import app, browser, page, serve, window  # noqa: F401 (fixtures)
