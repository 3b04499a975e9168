"""Which names are allowed, and their one stored form (Unicode NFC).

A name of a workflow or worker stands in URLs, in paths of logs and in terminals, so nothing invisible,
nothing that reads as an id, an option or a hidden file. Questions return None for yes, else the reason,
worded to follow the name: "'a/b' holds a '/'".
"""

import re
import unicodedata
from functools import lru_cache

LONGEST_CHARACTERS = 128
LONGEST_BYTES = 200
RESERVED_WORKFLOW_NAMES = frozenset({"page", "item", "query", "create", "stats", "bare", "test-output-destinations"})

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_UNSEEN = re.compile(f"{_CONTROL.pattern}|{_INVISIBLE.pattern}")
_NOT_IN_VARIABLES = re.compile(r"[^A-Z0-9_]")
_WATTLES_OWN = re.compile(r"WATTLE_((WORKFLOW|WORKER|RUN|ATTEMPT|INPUT|OUTPUT|PARAM|IO)(_.*)?|P[0-9]+)", re.DOTALL)


def nfc(name: str) -> str:
    """The form in which a name is stored and compared."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def why_not_port(name: str) -> str | None:
    """Inputs, outputs and params: 1-128 characters, no `/`, no control characters."""
    if _PLAIN_NAME.fullmatch(name):
        return None
    if not name:
        return "is empty"
    if len(nfc(name)) > LONGEST_CHARACTERS:
        return f"is longer than {LONGEST_CHARACTERS} characters"
    if "/" in name:
        return "holds a '/'"
    if _CONTROL.search(name):
        return "holds a control character"
    return None


def why_not_worker(name: str) -> str | None:
    """Workers: as inputs, and ≤ 200 bytes, nothing invisible, not `.`, `..`, digits only, no leading `-` or `.`."""
    if _PLAIN_NAME.fullmatch(name):
        return None
    if reason := why_not_port(name):
        return reason
    stored = nfc(name)
    if len(stored.encode()) > LONGEST_BYTES:
        return f"is longer than {LONGEST_BYTES} bytes of UTF-8"
    if _INVISIBLE.search(stored):
        return "holds an invisible or direction-changing character"
    if stored[0] in "-.":
        return f"begins with '{stored[0]}'"
    if stored.isdigit():
        return "has only digits, which reads as an id"
    return None


def why_not_workflow(name: str) -> str | None:
    """Workflows: as workers, and not a word that a URL uses."""
    if nfc(name) in RESERVED_WORKFLOW_NAMES:
        return "is reserved, URLs use it"
    return why_not_worker(name)


def why_not_variable(name: str) -> str | None:
    """Environment variables: what execve can pass."""
    if not name:
        return "is empty"
    if "=" in name:
        return "holds a '='"
    if "\0" in name or any("\ud800" <= character <= "\udfff" for character in name):
        return "holds a character that no environment can"
    return None


@lru_cache(maxsize=10_000)
def variable_name(name: str) -> str:
    """`raw data` → `RAW_DATA`: upper case, everything but ASCII letters, digits and `_` turned into `_`."""
    return _NOT_IN_VARIABLES.sub("_", name.upper())


def visible(text: str) -> str:
    """For messages: control and invisible characters as `\\u…`, so that a terminal shows and never obeys them."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def is_wattles_variable(name: str) -> bool:
    """True for the variables that Wattle itself sets for a worker; others that begin with `WATTLE_` are free."""
    return _WATTLES_OWN.fullmatch(name) is not None
