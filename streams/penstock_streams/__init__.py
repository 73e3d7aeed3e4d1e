"""The stages (accounts, executions, conversations) and the exactly-once task they run in."""
