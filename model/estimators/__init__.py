"""Estimators without a head: ordinal regression, its kernel form, a process on residuals; and the
geometry of embeddings that they share."""
