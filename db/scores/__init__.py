"""Hand scores: recording them, what counts where several people score, and what to score next.

Imports db.images, db.store and the modules of db itself.
"""
