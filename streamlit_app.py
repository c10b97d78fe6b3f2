"""What `streamlit run streamlit_app.py` serves; `labeler app` makes the same app by itself.

`streamlit run` finds the `app` below by reading this file's syntax, so it must stay a plain
`app = st.App(...)`. The page script is another file, named by its absolute path, so that it is
found wherever the package is installed.
"""

from __future__ import annotations

import streamlit as st

from labeler.app.server import middleware, streamlit_entry

app = st.App(
    middleware.PAGE,
    routes=middleware.all_routes(),
    middleware=streamlit_entry.streamlit_guards(),
    lifespan=streamlit_entry.tcp_nodelay_lifespan,
)
