"""The keeper: the small process that owns processes, and how a daemon starts it, reaches it and reads it.

Standard library only, one thread, importing nothing else of Wattle; neither `typing` nor `dataclasses` nor
`logging` in what the process itself runs (they would be a fifth of its memory).

    the daemon's side            the keeper's own
    launch.py   start, connect   main.py         start-up, signals, the epoll loop
    journal.py  read_records     keeper.py       orders in, workers live, records out: decides what happens when
    protocol.py frames           ending.py       brings stops about; stop.py is their table of states
    place.py    file names       tree.py         who descends from whom, whose an orphan is
    record_shapes.py is it whole keeper_ids.py   names of keepers, which tell their boot
                                 spawn.py        an order becomes a process, or a worded refusal
                                 order_queue.py  what waits, and who is served next
                                 orders_ahead.py what waits for the ends of others
                                 proc.py         facts from /proc and from pidfds
                                 worker.py       an order and a live worker, as values
                                 records.py      what is written down of them
                                 connection.py   one daemon's socket; timers.py: what is due when
"""
