"""The worker: claims dispatched attempts, runs each in a slot process, and reports what they did."""
