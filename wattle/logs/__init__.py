"""Files to lines: where an attempt's output stands, reading it, following it while it grows, bounding it.

`files.py` names the files, `links.py` keeps the documented paths pointing at them, `lines.py` cuts bytes into lines.
Reading: `read.py` finds the end of a log, `pages.py` a part of one, `excerpt.py` a part of both in their order,
`search.py` what matches, `window.py` the bytes, `escapes.py` what of a line may reach a terminal.
Following: `forward.py` reads one file forwards, `output.py` an attempt's two in the order that `chronology.py` takes
from the index; `follow.py` is the state of one watcher of a worker and `merge.py` of many workers, `said.py` what they
are told, `hearing.py` hears that files grow.
While an attempt lives `watch.py` (a thread) looks at its logs (`watched.py`): it writes the side index (`index.py`) and
drops heads (`holes.py`). Nothing here writes to a log.
"""
