"""Penstock SDK."""
