"""Faults at named points and at random instants, and an independent judge of what is left afterwards.

worker.sh      what the workers do; each writes down itself what it did
scene.py       one workflow with all kinds of ends, on a data directory of its own, and the faults it meets
checker.py     the judge: reads files, the database and /proc, and imports nothing of Wattle
campaign.py    many scenes from one seed, some at a time, and the counts
soak.py        the long form, for scripts/soak
"""
