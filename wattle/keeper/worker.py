"""An order (what a daemon wants run) and a worker (what runs), as values. No process is touched here."""

from wattle.keeper.protocol import encode_json
from wattle.keeper.stop import State
from wattle.keeper.timers import Timer

TERM = 15


class Stop:
    """How a worker is asked to end: which signal, to its group or its leader only, and for how long; and whether what
    outlives a leader that ends by itself may live on.
    """

    __slots__ = ("allow_detached", "grace_seconds", "scope", "signal")

    def __init__(self, message: dict | None) -> None:
        message = message or {}
        self.signal = int(message.get("signal", TERM))
        self.grace_seconds = max(0.0, float(message.get("grace_seconds", 10.0)))
        self.scope: str = message.get("scope", "group")
        self.allow_detached = bool(message.get("allow_detached", False))
        if not 1 <= self.signal <= 64 or self.scope not in ("group", "leader"):
            raise ValueError(f"a worker cannot be stopped by {message!r}")


class Order:
    """One process wanted. Raises KeyError, IndexError, TypeError, ValueError or AttributeError on a message
    that is no order: joining is the cheapest check that all of it is text. `identity` is uid and tag as every
    record has them, JSON without braces. `inherit` are the names of the base environment's variables that it
    sees (None: all); `settings` what posix_spawn cannot do (settings.py), None where there is nothing of it.
    `after` are the uids that have to end well before it is begun (orders_ahead.py).
    """

    __slots__ = (
        "after", "argv", "cwd", "descriptors", "direct", "env", "group", "identity", "inherit", "memory_max_bytes",
        "priority", "settings", "stderr", "stdout", "stop", "takes_slot", "timeout_seconds", "uid",
    )  # fmt: skip

    def __init__(self, message: dict) -> None:
        self.uid: str = message["uid"]
        self.identity = identity(message)
        self.group: str = message.get("group", "")
        self.argv: list[str] = message["argv"]
        self.direct = bool(message.get("direct", False))
        self.cwd: str = message["cwd"]
        self.env: dict[str, str | None] = message.get("env") or {}
        self.stdout: str = message["stdout"]
        self.stderr: str = message["stderr"]
        "".join((self.uid, self.group, self.cwd, self.stdout, self.stderr, self.argv[0], *self.argv))
        "".join([value for value in self.env.values() if value is not None])
        self.descriptors = {int(number): _text(path) for number, path in (message.get("descriptors") or {}).items()}
        self.takes_slot = bool(message.get("takes_slot", True))
        self.priority = int(message.get("priority", 0))
        self.timeout_seconds = _seconds(message.get("timeout_seconds"))
        self.inherit: list[str] | None = message.get("inherit")
        if self.inherit is not None:
            "".join(self.inherit)
        self.settings: dict | None = message.get("settings")
        limit = message.get("memory_max_bytes")
        self.memory_max_bytes = None if limit is None else int(limit)
        self.stop = Stop(message.get("stop"))
        self.after: list[str] = message.get("after") or []
        if not isinstance(self.after, list):
            raise TypeError(f"uids are wanted, not {self.after!r}")
        "".join(self.after)


class Told:
    """How a worker was told to end: the first signal and its instant (unix µs), when SIGKILL began (None: it was not
    needed), and who of its tree got one or the other, as (pid, start ticks).
    """

    __slots__ = ("at", "killed_at", "reached", "signal")

    def __init__(self, at: int, signal: int) -> None:
        self.at = at
        self.signal = signal
        self.killed_at: int | None = None
        self.reached: set[tuple[int, int]] = set()


class Worker:
    """A spawned or adopted process and its tree, until nothing of it is left.

    `pidfd` is open for adopted ones only: our own child's pid cannot be used again before we reap it.
    `orphans` are {pid: start ticks} of its descendants that are the keeper's own children; `noted` those of
    its tree when it was last looked at; `left` those that outlived a leader that ended by itself, `detached`
    counts those that were let go (allow_detached). `memory_bytes` is what its tree held when that was too much.
    `started_at` and `ended_at` are unix µs, `started` is monotonic µs. What it used is None where nobody could
    tell. Only a worker that is being killed has `hit`, those that the kill has reached, and `storm`, the turns
    since their number began to outgrow it.
    """

    __slots__ = (
        "adopted", "cause", "deadline", "detached", "due", "duration_us", "ended_at", "escalated", "grace_seconds",
        "group", "hit", "identity", "inode", "leader_alive", "left", "max_rss_bytes", "memory_bytes", "noted",
        "orphans", "pause_seconds", "pid", "pidfd", "start_ticks", "started", "started_at", "state", "status",
        "stderr", "stdout", "stop", "storm", "stuck", "system_us", "takes_slot", "told", "uid", "unattributed",
        "user_us", "watch",
    )  # fmt: skip
    hit: set[tuple[int, int]]
    storm: int

    def __init__(self, uid: str, identity: bytes, group: str, takes_slot: bool, stop: Stop) -> None:
        self.uid = uid
        self.identity = identity
        self.group = group
        self.takes_slot = takes_slot
        self.stop = stop
        self.stdout = ""
        self.stderr = ""
        self.pid = -1
        self.inode: int | None = None
        self.start_ticks: int | None = None
        self.started_at = 0
        self.started = 0
        self.adopted = False
        self.pidfd = -1
        self.state = State.RUNNING
        self.cause: str | None = None
        self.told: Told | None = None
        self.detached = 0
        self.escalated = False
        self.leader_alive = True
        self.status: int | None = None
        self.user_us: int | None = None
        self.system_us: int | None = None
        self.max_rss_bytes: int | None = None
        self.memory_bytes: int | None = None
        self.ended_at = 0
        self.duration_us = 0
        self.unattributed = 0
        self.orphans: dict[int, int] = {}
        self.noted: dict[int, int] = {}
        self.left: dict[int, int] = {}
        self.grace_seconds: float | None = None
        self.pause_seconds = 0.0
        self.due: Timer | None = None
        self.deadline: Timer | None = None
        self.stuck: Timer | None = None
        self.watch: Timer | None = None

    @property
    def ended_well(self) -> bool:
        """By itself, with exit code 0."""
        return self.status == 0 and self.cause is None and self.memory_bytes is None


def identity(message: dict) -> bytes:
    return encode_json({"uid": message["uid"], "tag": message.get("tag")})[1:-1]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text is wanted, not {value!r}")
    return value


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or value != value:
        raise TypeError(f"seconds are wanted, not {value!r}")
    return float(value)
