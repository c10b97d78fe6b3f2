"""Estimators without a head: ordinal regression, its kernel form, a process on residuals."""
