"""Closing accounting months."""
