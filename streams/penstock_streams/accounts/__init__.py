"""Accounts: admission, concurrency and charging. One writer per tenant."""
