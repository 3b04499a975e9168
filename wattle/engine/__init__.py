"""What may start, what an end causes, and why a worker waits. PURE: no clock, no store, no process.

`states.py` holds the words and the state table of a worker in a run, `plan.py` the RunPlan, `retry.py`
and `outcome.py` the two judgements on an attempt that has ended, `identity.py` the names of attempts.
"""
