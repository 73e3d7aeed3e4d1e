"""Penstock in a deterministic world: one virtual clock, one seeded scheduler. See docs/simulation.md."""
