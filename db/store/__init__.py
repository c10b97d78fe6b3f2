"""The SQLite file: opened, migrated, checked, copied, and its schema."""
