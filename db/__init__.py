"""The SQLite store of a project, and every query on it.

Each imports only those before it: errors, records; store; query_parts; jobs and images; scores;
versions; importing; repair. No torch, no screen.
"""
