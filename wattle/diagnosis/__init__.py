"""What `wattle doctor` and `wattle fsck` find out. Nothing here repairs or changes anything that is kept.

`surroundings` and `filesystem` try what kernel and file systems offer, `holders` finds the daemon and the keeper of a
data directory; the other files check what the directory holds against its invariants, each with its own witnesses.
"""
