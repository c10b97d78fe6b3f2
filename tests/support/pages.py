"""Pages of the app as scripts, without a browser."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from labeler.app.widgets.navigation import page_file


def opened(name: str) -> AppTest:
    page = AppTest.from_file(page_file(name), default_timeout=30).run()
    assert not page.exception
    return page


def all_markdown(page: AppTest) -> str:
    """Every text of the page that the browser would read as markdown."""
    kinds = (page.markdown, page.caption, page.error, page.warning, page.info, page.success)
    return "\n".join(str(element.value) for kind in kinds for element in kind)
