"""Pictures for the demo, drawn by code: kinds, their scores, and how each kind is drawn."""
