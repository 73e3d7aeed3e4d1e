"""Which test runs which example, and which blocks no test runs, with the reason."""

from __future__ import annotations

RUN_BY = {
    ("README.md", "sdk"): "tests/e2e/test_readme.py",
    ("README.md", "resume"): "tests/e2e/test_readme.py",
    ("README.md", "kafka"): "tests/e2e/test_readme.py",
    ("docs/agents.md", "agent"): "tests/agents/test_page.py",
    ("docs/agents.md", "test"): "tests/agents/test_page.py",
    ("docs/conversations.md", "chat"): "tests/e2e/test_conversations.py",
    ("docs/following.md", "several"): "tests/e2e/test_page_examples.py",
    ("docs/pipelines.md", "pipeline"): "tests/e2e/test_pipeline_page.py",
    ("docs/producing.md", "sync"): "tests/e2e/test_page_examples.py",
    ("docs/producing.md", "java"): "tests/e2e/test_producers.py",
    ("docs/producing.md", "go"): "tests/e2e/test_producers.py",
    ("docs/producing.md", "node"): "tests/e2e/test_producers.py",
}
"""Each block of Python or of a shell script, by its page and its name."""

NOT_RUN: dict[tuple[str, str], str] = {}
"""The same, for blocks that no test can run: why."""

NOT_OURS = {
    "pip": "Python's own; what it installs is what tests/packaging installs with each extra",
    "set": "the shell's own; the addresses are those of the stack",
    "export": "the shell's own; the variables are OpenTelemetry's",
    "mkdir": "of the shell; makes the folder of secrets",
    "chmod": "of the shell; guards the folder of secrets",
    "for": "of the shell; its tools (openssl, clickhouse-client) are those of a production host",
    "docker": "no container engine where tests run; tests/deploy/test_compose.py holds the file to its schema",
    "curl": "the same question is asked by tests/e2e/test_foreign_clients.py",
}
"""First words of lines in consoles that are not held to anything of ours: why."""
