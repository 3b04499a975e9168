"""Wattle: a DAG workflow runner with worker process supervision.

The rooms, top to bottom; a room imports only from rooms above it (`tests/test_layers.py`):

    errors.py        the errors a caller can act on; each knows its code
    config.py        Config, frozen: defaults < file < environment < flags, read once
    definition/      PURE. document -> Workflow, or every problem with its place
    importers/       PURE. workflows that other tools recorded -> documents
    engine/          PURE. state tables, RunPlan, retry
    store/           the only room that speaks SQL
    keeper/          the process that owns processes; standard library only, imports nothing above
    logs/            files -> lines: paths, reading, following
    metrics/         sampling of process trees
    supervisor/      the one owner of live state: take in, decide, write down, act, answer
    diagnosis/       is all in order: what doctor and fsck find out; it repairs nothing
    service/         use cases: create_workflow, start_workflow, stop_worker, ...
    api/             Flask blueprints; errors and envelopes at the edge; the pump for all that waits
    client.py        the Python client, used by the command line
    daemon.py        composition root: builds the rooms, owns signals, runs loop and Waitress
    cli/             click; the only importer of daemon.py
"""

__version__ = "0.1.0"
