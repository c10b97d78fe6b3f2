"""What the app serves beside Streamlit's own pages: routes, their guard, and which project."""

from __future__ import annotations

from labeler.app.project import current_project
from labeler.app.routes import routes
from labeler.app.security import middleware
from labeler.app.sockets import answering_at_once

__all__ = ["answering_at_once", "current_project", "middleware", "routes"]
