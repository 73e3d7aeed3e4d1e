"""Executions: the life of each execution, its leases, retries and deadlines. One writer per execution."""
