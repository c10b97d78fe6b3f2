"""The browser app: pages, the routes that they ask, the server in front, and who gets in.

May import every package but `cli/`.
"""
