"""The parts of the pages that answer a key at once: JavaScript mounted through Streamlit.

Each talks to the app's own routes by itself; Streamlit's script does not run again for a key press.
Their modules and styles lie in `assets/`, a folder for each, and what several use in `shared`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from labeler.app.server.static_files import ASSETS, module_url


def _component(name: str) -> Any:
    """Register the component whose module is assets/`name`/`name`.js.

    Streamlit runs the `js` that it is given from a blob, where no relative address is allowed: the
    page's own address completes it. Every page lies directly below the app's base path.
    """
    address = f".{module_url(f'{name}/{name}.js')}"
    files = (ASSETS / "shared/shared.css", ASSETS / name / f"{name}.css")
    return st.components.v2.component(
        f"labeler_{name}",
        js=f"""const address = new URL("{address}", document.baseURI);
const {{ default: mount }} = await import(address.href);
export default mount;
""",
        css="\n".join(file.read_text(encoding="utf-8") for file in files),
    )


_score, _review, _grid, _watch = map(_component, ("score", "review", "grid", "watch"))


def score(data: dict[str, Any]) -> None:
    """Mount the Score page's component; `data` as made by `labeler.app.pages.score`."""
    _score(data=plain(data), key="score")


def review(data: dict[str, Any]) -> None:
    """Mount the Review page's component; `data` as made by `labeler.app.pages.review`."""
    _review(data=plain(data), key="review")


def grid(items: Sequence[dict[str, Any]], key: str) -> int | None:
    """Show thumbnails to select from; return the selected image id, or None.

    Each item: `id` (image id), `title` and `caption` (shown as plain text), and optionally `hash`
    (content hash: lets the browser cache the thumbnail). A selection reruns the page's script.
    """
    chosen = _grid(data={"items": tuple(items)}, key=key, on_selected_change=_nothing).selected
    return chosen if any(item["id"] == chosen for item in items) else None


def watch(
    what: str,
    query: dict[str, Any],
    key: str,
    *,
    offer: str | None = None,
    more: str = "",
    every: int | None = None,
) -> bool:
    """Show the state that GET /api/watch/`what` answers, and rerun the page when it has ended.

    `more` is shown after the state; it is requested every `every` milliseconds. Return whether the
    person pressed `offer`, a button that is shown as soon as there is an image.
    """
    data: dict[str, Any] = {"address": f"api/watch/{what}", "query": query, "more": more}
    data |= {} if offer is None else {"offer": offer}
    data |= {} if every is None else {"every": every}
    state = _watch(data=data, key=key, on_ended_change=_nothing, on_taken_change=_nothing)
    return bool(state.taken)


def plain(data: dict[str, Any]) -> dict[str, Any]:
    """Return the data with tuples for lists.

    Streamlit takes a list for a table and imports pandas, which takes a second.
    """
    return {name: tuple(one) if isinstance(one, list) else one for name, one in data.items()}


def _nothing() -> None:
    """Streamlit reports a component's value only where a callback is given."""
