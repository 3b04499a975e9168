"""The one owner of live state: take in, decide, write down, act, answer.

`loop.py` is the turn; `runs.py` decides what an event means for a run, `settling.py` what an ended attempt
amounts to, `commands.py` what a caller's wish means; `recovery.py` is the boot, which is also the crash path;
`ledger.py` gathers what a turn writes, `outbox.py` what it does; `orders.py` says what a worker's process is
given, `ahead.py` what the keeper may begin by itself; `files.py` are the jobs on users' files, which run on a small
pool because neither loop may touch them.

What the loop decides by itself is a function of committed rows and the keeper's journal, so it may be acted
on before it is written; what a user asked for is written before it is acted on.
"""
