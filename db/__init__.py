"""The store: SQLite by SQLAlchemy. It knows no torch, no Project and no screen."""
