"""Pipelines: stages one after the other or in parallel, what each is told, joins. One writer per pipeline."""
