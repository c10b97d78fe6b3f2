"""The store's file: opening, locking, transactions, schema, migrations, copies and restoring.

Imports only db.errors and db.records.
"""
