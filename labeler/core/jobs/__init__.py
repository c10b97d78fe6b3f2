"""Background jobs: the runner and its process, signs of life, priority."""
