"""What `streamlit run streamlit_app.py` and `labeler app` both serve.

`streamlit run` finds the `app` below by reading this file's syntax, so it must stay a plain
`app = st.App(...)`. The page script is another file, named by its absolute path, so that it is
found wherever the package is installed. It lies in a folder of its own: beside a folder called
`pages`, Streamlit would take every file in there for a page and never run the frame around them.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

import labeler.app
from labeler.app import downloads, serving, sheets

app = st.App(
    Path(labeler.app.__file__).parent / "frame" / "main.py",
    # The first match answers, and the last of the other routes takes whatever is left of /api/.
    routes=[*downloads.routes(), *sheets.routes(), *serving.routes()],
    middleware=serving.guards(
        st.get_option("server.address"), st.get_option("server.allowedHosts")
    ),
    lifespan=serving.answering_at_once,
)
