"""Readings of run.json for people, one format a file."""
