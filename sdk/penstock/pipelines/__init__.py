"""Pipelines as their authors write them: definitions, templates, and the calls that run them."""
