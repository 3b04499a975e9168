"""Files of other tools become Wattle definitions.

PURE: bytes in, a document and a report out; no clock, no file system, no process. The map:

    procfile.py         a Procfile -> services
    supervisord.py      a configuration of supervisord -> services; ini.py reads it
    process_compose.py  a process-compose.yaml -> services and tasks
    dagu.py             a DAG of Dagu -> tasks
    wfformat.py         a WfCommons instance -> a definition that replays it
      instance.py       the instance: what schema 1.5 says it may look like, and what it must mean
      replay.py         the command that reads, waits and writes as a recorded task did
    fields.py           fields of a YAML document, read one by one
    shell.py            commands of other tools -> commands of a worker
    options.py          what an import is told besides the file
    report.py           what was kept, changed and left out
    names.py            ids -> names and paths that Wattle and a file system take
"""
