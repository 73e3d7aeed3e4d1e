"""Conversations: turns, ownership, and what the agent is told of earlier turns. One writer per conversation."""
