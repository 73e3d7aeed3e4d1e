"""The stages (accounts, executions) and the exactly-once task they run in."""
