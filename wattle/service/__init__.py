"""Use cases: what a caller can ask of Wattle, with no HTTP and no terminal in it.

`reading.py` answers from the store on any thread and works without a daemon; `changing.py` hands each
change to the supervisor's loop and answers after its commit; `views.py` is what both give.
"""
