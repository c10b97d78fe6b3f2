"""Figures of predictions against hand scores, with intervals; advice on another round.

Imports no other folder of model/.
"""
