"""Workflows that other tools recorded become Wattle definitions.

PURE: bytes in, a document and a report out; no clock, no file system, no process. The map:

    wfformat.py    a WfCommons instance -> a definition that replays it; the way in
    instance.py    the instance: what schema 1.5 says it may look like, and what it must mean
    replay.py      the command that reads, waits and writes as a recorded task did
    names.py       ids -> names and paths that Wattle and a file system take
"""
