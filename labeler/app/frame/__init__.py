"""The frame around the pages: navigation, and the project at a glance."""
