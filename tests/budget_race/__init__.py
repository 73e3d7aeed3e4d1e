"""Many producers at once against a budget for exactly a hundred runs; as control, the same without one writer."""
