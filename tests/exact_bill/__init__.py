"""Usage as it comes, with repeats, late reports and unknown models, and the bill to the nano-dollar."""
