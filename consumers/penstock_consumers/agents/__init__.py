"""The built-in agents: `echo`, `shell` and `assistant`."""
