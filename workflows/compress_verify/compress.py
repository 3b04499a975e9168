"""Compress `content` to `archive` by the method that the argument names: gzip, bzip2 or xz.

Writes `cost` too: the CPU seconds it took.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from archives import BLOCK, writer

content = Path(os.environ["WATTLE_INPUT_CONTENT"])
archive = Path(os.environ["WATTLE_OUTPUT_ARCHIVE"])
method = sys.argv[1]

before = time.process_time()
with content.open("rb") as source, archive.open("wb") as file, writer(method, file) as target:
    shutil.copyfileobj(source, target, BLOCK)
seconds = time.process_time() - before

Path(os.environ["WATTLE_OUTPUT_COST"]).write_text(f"{seconds:.3f}\n", encoding="ascii")
print(f"{content.stat().st_size:,} -> {archive.stat().st_size:,} bytes by {method} in {seconds:.2f} s of CPU")
