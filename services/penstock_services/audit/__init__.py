"""Recount a month's money from its sources, independently of the code that made it."""
