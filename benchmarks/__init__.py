"""How fast Wattle is, as multiples of a C loop that spawns the same processes. `scripts/bench` runs it.

    shapes    DAGs, and how they are written down for each contestant
    peers     the C loop, make and ninja: a DAG in, seconds out
    served    a `wattle serve` of our own, over HTTP
    process   what /proc says of the daemon and its keeper
    machine   where this was measured
    writers   what being watched costs who writes a log
    measures  what is measured, and how often
    report    the arithmetic, the targets, the tables
    loop.c    the reference

Figures are printed, never asserted: docs/performance.md says what they mean.
"""
