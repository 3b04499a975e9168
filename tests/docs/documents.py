"""The pages as data: their fenced blocks, their tables, and answers freed of what differs from run to run."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, *sorted(DOCS.glob("*.md"))]

# Where the documents' reader has what a test has under its temporary directory.
READERS_HOME = "/home/ada"
READERS_DATA_DIR = f"{READERS_HOME}/.local/state/wattle"
READERS_CHECKOUT = f"{READERS_HOME}/wattle"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COUNTED = {
    "cpu_percent", "cpu_seconds", "duration_seconds", "id", "last_event_id", "max_rss_bytes", "memory_bytes",
    "num_descriptors", "num_processes", "num_threads", "peak_memory_bytes", "peak_num_descriptors",
    "peak_num_processes", "peak_num_threads", "pid", "pids", "pss_bytes", "read_bytes", "run_id", "runtime_seconds",
    "system_seconds", "user_seconds", "version", "written_bytes",
}  # fmt: skip
_SOMETIMES_UNKNOWN = {
    "max_rss_bytes", "peak_memory_bytes", "peak_num_descriptors", "peak_num_processes", "peak_num_threads",
    "read_bytes", "written_bytes",
}  # fmt: skip
_USED = {"cpu_usage", "memory_usage", "runtime"}
_TEXTS = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "<instant>"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<digest>"),  # of a definition with absolute directories
    (re.compile(r"\brun \d+"), "run <n>"),
    (re.compile(r"\bpid \d+"), "pid <n>"),
    (re.compile(r'python="[^"]*"'), 'python="<version>"'),
    (re.compile(r"/logs/\d+/"), "/logs/<run>/"),
    (re.compile(r"^id: \d+\.\d+(,\d+:\d+:\d+)*$", re.MULTILINE), "id: <of many workers>"),
    (re.compile(r"/logs/unstarted/\d+\."), "/logs/unstarted/<workflow>."),
)
_SCREEN = (
    (re.compile(r"(\d{4}-\d\d-\d\d )?\b\d\d:\d\d:\d\d\b"), "<time>"),
    (re.compile(r"\b\d+(\.\d)? s\b"), "<seconds>"),
    (re.compile(r"\b\d+\.\d [kMG]B\b"), "<size>"),
    (re.compile(r"\b\d+% now\b"), "<n>% now"),
    (re.compile(r"^\d+(?=  +(workflow|worker) )", re.MULTILINE), "<n>"),
    (re.compile(r" {2,}"), "  "),
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `before` is the prose between it and the block before."""

    page: str
    line: int
    language: str
    text: str
    before: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text, found, end = page.read_text(encoding="utf-8"), [], 0
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page.name, line, match[1], match[2], text[end : match.start()]))
        end = match.end()
    return found


def examples(page: Path) -> list[tuple[Block, Block | None]]:
    """Each `sh` block, with the `json` or `text` block right after it that shows what it prints, if there is one."""
    found = blocks(page)
    pairs = []
    for block, after in zip(found, [*found[1:], None]):
        if block.language == "sh":
            pairs.append((block, after if after is not None and after.language in ("json", "text") else None))
    return pairs


def section(page: Path, heading: str) -> str:
    """What stands under a heading, up to the next one of the same or a higher level."""
    match = re.search(rf"^(#+) {re.escape(heading)}$\n(.*?)(?=^#{{1,6}} |\Z)", page.read_text(), re.M | re.S)
    assert match is not None, f"{page.name} has no heading '{heading}'"
    return match[2]


def table(text: str) -> list[list[str]]:
    """The cells of the first table in `text`, without its head."""
    first = re.search(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    rows = first[0].splitlines() if first is not None else []
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def shape(value: Any, key: str = "") -> Any:
    """A JSON answer with instants, ids, pids, durations and amounts of memory replaced by words for them."""
    if isinstance(value, dict):
        return {name: shape(member, name) for name, member in value.items()}
    if key in ("signalled", "signals"):
        return "<attempts>"  # whether a process was there to be told is a matter of milliseconds
    if key == "points":
        return "<points>"  # how many there are is a matter of time
    if isinstance(value, list):
        return [shape(member, key) for member in value]
    if isinstance(value, str):
        return "<usage>" if key in _USED else text_shape(value)
    if key in _COUNTED and (isinstance(value, (int, float)) or key in _SOMETIMES_UNKNOWN):
        return "<number>"
    return value


def text_shape(text: str) -> str:
    for pattern, word in _TEXTS:
        text = pattern.sub(word, text)
    return text


def screen_shape(text: str) -> str:
    """What a command printed: also without the widths of columns, the time of day and durations."""
    text = text_shape(text)
    for pattern, word in _SCREEN:
        text = pattern.sub(word, text)
    return text.strip()
