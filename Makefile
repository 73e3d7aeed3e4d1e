.DEFAULT_GOAL := help
.PHONY: help setup demo test lint up down status docs bench faults faults-full lock clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

setup: .venv/.ready ## Install what the project needs: system packages, Python packages, broker and registry

.venv/.ready: pyproject.toml constraints.txt scripts/setup
	@scripts/setup

demo: .venv/.ready ## A whole working system and real runs, from a fresh clone
	@scripts/demo

test: .venv/.ready ## Lint, types, import contracts, and every test (starts its own servers)
	@scripts/test

lint: .venv/.ready ## Only the static checks
	@scripts/lint

up: .venv/.ready ## Start the stack here
	@.venv/bin/penstock up

down: .venv/.ready ## Stop it
	@.venv/bin/penstock down

status: .venv/.ready ## What runs, where, how big, how far behind
	@.venv/bin/penstock status

docs: .venv/.ready ## Build the documentation as a site, in site/; a broken link is an error
	@scripts/docs

bench: .venv/.ready ## Measure, and print a table of medians
	@scripts/bench

faults: .venv/.ready ## Kill, stop and cut off whole processes, and count what is lost or doubled (6 minutes)
	@scripts/faults

faults-full: .venv/.ready ## The same with all rounds: the tables of docs/faults.md
	@scripts/faults --full

lock: ## Renew constraints.txt (hash-checked pins, no index addresses)
	@scripts/lock

clean: ## Remove the virtual environment and the stack's data
	@scripts/clean
