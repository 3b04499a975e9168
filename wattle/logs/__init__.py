"""Files to lines: where an attempt's output stands, reading its end, following it while it grows.

`files.py` names the files, `links.py` keeps the documented paths pointing at them, `lines.py` cuts bytes
into lines, `read.py` reads the end of a log, `follow.py` is the state of one watcher. Nothing here waits,
starts a thread or writes to a log.
"""
