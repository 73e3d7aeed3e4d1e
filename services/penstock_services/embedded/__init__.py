"""A whole working system on one machine: Kafka, a schema registry, the ClickHouse engine, Penstock on top.

`up` checks, fetches and starts a supervisor (`supervise`), which executes the stack (`stack`: processes and steps,
and what each comes after). `state` is the folder it lives in, `down` stops it, `status` and `doctor` look at it.
"""
