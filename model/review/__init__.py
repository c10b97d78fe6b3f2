"""What to review first: suspicion of a hand score or prediction, and which queue comes next."""
