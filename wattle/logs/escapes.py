"""What a worker printed, made safe for a terminal: colours pass, everything else that steers it does not.

A log may hold what a stranger wrote. An escape sequence can move the cursor over lines that were printed before,
change the window's title, fill the clipboard, or make the terminal answer as if it had been typed. Follows
ECMA-48 (5th edition) and what xterm adds to it. Pure: text in, text out.
"""

import re

_ESCAPE = re.compile(
    r"""
      (?P<colour>(?:\x1b\[|\x9b)[0-9;:]*m)              # SGR
    | (?:\x1b\[|\x9b)[0-?]*[ -/]*(?:[@-~]|\Z)?          # any other control sequence, also one cut off
    | (?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])              # OSC, DCS, SOS, PM, APC: a string …
      [^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|(?=\x1b)|\Z)  # … to its end, the next escape, or the end of the line
    | \x1b[ -/]*(?:[0-~]|\Z)?                           # any other escape
    | [\x00-\x08\x0a-\x1f\x7f-\x9f]                     # control characters but the tab
    """,
    re.VERBOSE,
)
_SUSPECT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_RESET = "\x1b[0m"
_ENDS_PLAIN = re.compile(r"(?:\x1b\[|\x9b)(?:[0:]*|.*[;]0*)m")


def for_screen(line: str, *, colours: bool) -> str:
    """One line of a log without anything that steers a terminal but, where wanted, colours; a tab stays.

    Colours that a line leaves on are switched off at its end: they must not run into the next one.
    """
    if not _SUSPECT.search(line):
        return line
    last = ""

    def kept(match: "re.Match[str]") -> str:
        nonlocal last
        if not colours or match["colour"] is None:
            return ""
        last = match["colour"]
        return last

    text = _ESCAPE.sub(kept, line)
    return text + _RESET if last and not _ENDS_PLAIN.fullmatch(last) else text


def last_written(line: str) -> str:
    """What a line that was overwritten by carriage returns (a progress bar) shows in the end."""
    return line.removesuffix("\r").rpartition("\r")[2]
