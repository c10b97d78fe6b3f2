"""What leaves a project: datasets, models, contact sheets, with their licences.

May import `versions/`, `scoring/` and below.
"""
