"""How good a version is: out-of-fold figures, comparisons, audits, slices, rounds."""
