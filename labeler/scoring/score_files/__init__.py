"""Readers of files of hand scores: tables, folders, Label Studio, histories of our own."""
