"""What Wattle is told from outside: one frozen `Config`, read once from flags, environment and file.

Later sources win: defaults < file (TOML) < environment (`WATTLE_…`) < flags. Nobody else reads the
environment for settings. It looks at the file system (the configuration file, whose the data directory is)
but changes nothing there.
"""

import difflib
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from wattle.errors import Malformed, Refused

DEFAULT_PORT = 9240
LANGUAGES = ("en", "zh")
SOCKET_NAME = "http.sock"
DATABASE = "wattle.db"
DAEMON_LOCK = "daemon.lock"


class Bind(NamedTuple):
    """One socket to listen on; one that is not `required` is left out where the machine lacks its address family."""

    host: str
    port: int
    required: bool


class Address(NamedTuple):
    """Where to listen, as it was given: `localhost`, a name, an IPv4 address or an IPv6 one without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def binds(self) -> tuple[Bind, ...]:
        """`localhost` is 127.0.0.1 and, where it exists, ::1; everything else is itself."""
        if self.host == "localhost":
            return (Bind("127.0.0.1", self.port, True), Bind("::1", self.port, False))
        return (Bind(self.host, self.port, True),)

    @property
    def is_loopback(self) -> bool:
        """Only this machine can reach it. A name other than `localhost` is taken as reachable from elsewhere."""
        import ipaddress

        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Config:
    """All settings. Directories are absolute; `base_dir` is where Wattle was started, `home` what `~` means."""

    data_dir: str
    base_dir: str
    home: str
    listen: tuple[Address, ...] = (Address("localhost", DEFAULT_PORT),)
    allow_hosts: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    max_processes: int = 256
    max_streams: int = 4096  # that wait at a time
    max_streams_per_address: int | None = None  # None: as many as in all
    ballast_bytes: int = 1024 * 1024
    insecure: bool = False
    lang: str = "en"
    stop_workers: bool = False
    server_url: str | None = None
    keep_runs: int = 200  # of each workflow
    keep_days: int = 90  # a run goes when it is beyond both
    keep_logs: int = 10 * 1024**3  # bytes, of all runs and attempts that have ended together
    live_logs: int | None = None  # bytes, of all workers that run together; None: no bound
    notices: tuple[str, ...] = field(default=())  # sentences to say to the user once

    @property
    def socket_path(self) -> str:
        """Where the daemon of the data directory listens for commands. It may be longer than a socket address."""
        return os.path.join(self.data_dir, SOCKET_NAME)

    @property
    def exposed(self) -> tuple[Address, ...]:
        """The addresses that other machines can reach."""
        return tuple(address for address in self.listen if not address.is_loopback)


class Given(NamedTuple):
    """A value before it is read, and where it came from (`--listen`, `WATTLE_LISTEN`, `/etc/x.toml`)."""

    value: Any
    source: str


class Setting(NamedTuple):
    """One row of the table below: `read` makes the value, or raises ValueError with what it should be."""

    name: str
    flag: str
    variable: str
    read: Callable[[Any], Any]


def load_config(flags: Mapping[str, Any], environ: Mapping[str, str], cwd: str) -> Config:
    """The Config of this process. `flags` are by field name; None and () mean not given.

    Raises Malformed `INVALID_SETTING` naming the setting, its value and where it came from; Refused
    `DATA_DIR_FOREIGN` where the data directory is another user's.
    """
    home = _home(environ)
    given = _file_settings(environ, home) | _environment_settings(environ) | _flag_settings(flags)
    values = {setting.name: _read(setting, given[setting.name]) for setting in SETTINGS if setting.name in given}
    notices: tuple[str, ...] = ()
    if "data_dir" in values:
        data_dir = _absolute(values["data_dir"], home, cwd)
    else:
        data_dir, notices = _default_data_dir(environ)
    _check_owner(data_dir)
    return Config(**(values | {"data_dir": data_dir, "base_dir": cwd, "home": home, "notices": notices}))


def check_exposure(config: Config) -> None:
    """Refused `LISTEN_EXPOSED` where other machines could run commands here and nobody said they may."""
    if config.exposed and not config.insecure:
        raise Refused(
            "LISTEN_EXPOSED",
            f"{config.exposed[0]} can be reached from other machines, and whoever reaches Wattle runs commands as "
            f"you; listen on localhost:{config.exposed[0].port}, or say --insecure if the network is trusted",
        )


def parse_address(text: str) -> Address:
    """`HOST:PORT`, `[v6]:PORT`; `:PORT` and `PORT` are localhost. ValueError says what is wrong."""
    match = re.fullmatch(r"(?:(?:\[(?P<v6>[^\]]*)\]|(?P<host>[^:\[\]]*)):)?(?P<port>[0-9]{1,5})", text.strip())
    if match is None:
        raise ValueError("expected HOST:PORT, [IPv6]:PORT or PORT")
    port = int(match["port"])
    if port > 65535:
        raise ValueError(f"port {port} is over 65535")
    if match["v6"] is None:
        return Address(match["host"] or "localhost", port)
    import ipaddress

    try:
        ipaddress.IPv6Address(match["v6"])
    except ValueError:
        raise ValueError(f"{match['v6']!r} is not an IPv6 address") from None
    return Address(match["v6"], port)


# --- readers of values: text from flags and environment, typed values from the file


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("expected a text that is not empty")
    return value


def _parts(value: Any) -> tuple[Any, ...]:
    """A list, or one text with commas between."""
    match value:
        case str():
            return tuple(part.strip() for part in value.split(","))
        case list() | tuple():
            return tuple(value)
        case _:
            raise ValueError("expected a text or a list of texts")


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(part) for part in _parts(value))


def _addresses(value: Any) -> tuple[Address, ...]:
    """An integer is a port."""
    parts = [value] if isinstance(value, int) else [part for given in _parts(value) for part in _parts(str(given))]
    return tuple(dict.fromkeys(parse_address(str(part)) for part in parts))


def _count(value: Any) -> int:
    """A whole number of at least 1."""
    try:
        number = int(value, 10) if isinstance(value, str) else value
    except ValueError:
        number = None
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= 1_000_000:
        raise ValueError("expected a whole number between 1 and 1000000")
    return number


def _days(value: Any) -> int:
    """0 is allowed: then only the number of runs counts."""
    return 0 if value in (0, "0") and not isinstance(value, bool) else _count(value)


_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def _bytes(value: Any) -> int:
    """`500M`, `10 GiB`, `10737418240`: powers of 1024."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    match = re.fullmatch(r"([0-9]{1,15})\s*(?:([KMGT])(?:i?B)?|B)?", text.strip(), re.IGNORECASE | re.ASCII)
    if match is None:
        raise ValueError("expected a number of bytes, such as 500M or 10G")
    return int(match[1]) * 1024 ** _UNITS[(match[2] or "").upper()]


_SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def _switch(value: Any) -> bool:
    word = str(value).lower() if isinstance(value, bool | str) else ""
    if word not in _SWITCH:
        raise ValueError("expected true or false")
    return _SWITCH[word]


def _language(value: Any) -> str:
    if value not in LANGUAGES:
        raise ValueError(f"expected one of {', '.join(LANGUAGES)}")
    return str(value)


def _url(value: Any) -> str:
    if not re.fullmatch(r"https?://[^/?#\s]+(/[^?#\s]*)?", _text(value)):
        raise ValueError("expected http://HOST:PORT or https://HOST:PORT")
    return _text(value).rstrip("/")


SETTINGS = (
    Setting("data_dir", "--data-dir", "WATTLE_DATA_DIR", _text),
    Setting("listen", "--listen", "WATTLE_LISTEN", _addresses),
    Setting("allow_hosts", "--allow-host", "WATTLE_ALLOW_HOSTS", _texts),
    Setting("allow_origins", "--allow-origin", "WATTLE_ALLOW_ORIGINS", _texts),
    Setting("max_processes", "--max-processes", "WATTLE_MAX_PROCESSES", _count),
    Setting("max_streams", "--max-streams", "WATTLE_MAX_STREAMS", _count),
    Setting("max_streams_per_address", "--max-streams-per-address", "WATTLE_MAX_STREAMS_PER_ADDRESS", _count),
    Setting("ballast_bytes", "--ballast-bytes", "WATTLE_BALLAST_BYTES", _bytes),
    Setting("insecure", "--insecure", "WATTLE_INSECURE", _switch),
    Setting("lang", "--lang", "WATTLE_LANG", _language),
    Setting("stop_workers", "--stop-workers", "WATTLE_STOP_WORKERS", _switch),
    Setting("server_url", "--server", "WATTLE_URL", _url),
    Setting("keep_runs", "--keep-runs", "WATTLE_KEEP_RUNS", _count),
    Setting("keep_days", "--keep-days", "WATTLE_KEEP_DAYS", _days),
    Setting("keep_logs", "--keep-logs", "WATTLE_KEEP_LOGS", _bytes),
    Setting("live_logs", "--live-logs", "WATTLE_LIVE_LOGS", _bytes),
)


def _read(setting: Setting, given: Given) -> Any:
    try:
        return setting.read(given.value)
    except ValueError as error:
        shown = ", ".join(map(str, given.value)) if isinstance(given.value, tuple) else str(given.value)
        raise _invalid(f"{setting.name} is '{shown}' (from {given.source}): {error}") from None


def _invalid(message: str) -> Malformed:
    return Malformed("INVALID_SETTING", message)


# --- sources


def _flag_settings(flags: Mapping[str, Any]) -> dict[str, Given]:
    return {
        setting.name: Given(flags[setting.name], setting.flag)
        for setting in SETTINGS
        if flags.get(setting.name) not in (None, (), [])
    }


def _environment_settings(environ: Mapping[str, str]) -> dict[str, Given]:
    """An empty variable counts as unset, as XDG and POSIX tools have it."""
    return {
        setting.name: Given(environ[setting.variable], setting.variable)
        for setting in SETTINGS
        if environ.get(setting.variable)
    }


def _file_settings(environ: Mapping[str, str], home: str) -> dict[str, Given]:
    path = environ.get("WATTLE_CONFIG") or os.path.join(
        _xdg(environ, "XDG_CONFIG_HOME") or os.path.join(home, ".config"), "wattle", "config.toml"
    )
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        if not environ.get("WATTLE_CONFIG") and isinstance(error, FileNotFoundError | NotADirectoryError):
            return {}
        raise _invalid(f"the configuration file {path} cannot be read: {error.strerror}") from None
    import tomllib

    try:
        table = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _invalid(f"the configuration file {path} is not TOML: {error}") from None
    names = [setting.name for setting in SETTINGS]
    for key in table:
        if key not in names:
            close = difflib.get_close_matches(key, names, 1)
            hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(names)}"
            raise _invalid(f"'{key}' in {path} is not a setting: {hint}")
    return {name: Given(value, path) for name, value in table.items()}


# --- the data directory


def _home(environ: Mapping[str, str]) -> str:
    """What `~` means: HOME, else the directory of the account, else `/`."""
    if environ.get("HOME", "").startswith("/"):
        return environ["HOME"]
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"


def _xdg(environ: Mapping[str, str], variable: str) -> str | None:
    """A relative path there is invalid and to be ignored (XDG Base Directory Specification)."""
    value = environ.get(variable, "")
    return value if value.startswith("/") else None


def _absolute(path: str, home: str, cwd: str) -> str:
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    return os.path.normpath(os.path.join(cwd, path))


def _default_data_dir(environ: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The directory, and what to say about it."""
    if state := _xdg(environ, "XDG_STATE_HOME"):
        return os.path.normpath(os.path.join(state, "wattle")), ()
    home = environ.get("HOME", "")
    if home.startswith("/"):
        path = os.path.normpath(os.path.join(home, ".local/state/wattle"))
        if _can_write(path):
            return path, ()
    path = f"/var/tmp/wattle-{os.geteuid()}"
    why = f"HOME ({home}) cannot be written to" if home else "HOME is not set"
    # Once it is there, it has been said.
    said = os.path.lexists(path)
    return path, () if said else (f"{why}: the data directory is {path} (choose another with --data-dir)",)


def _can_write(path: str) -> bool:
    """It is there and ours to write to, or could be made."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK, effective_ids=True)


def _check_owner(path: str) -> None:
    """A directory of another user holds another user's workflows, or a trap laid in /var/tmp."""
    is_shared_place = path.startswith("/var/tmp/")
    try:
        found = os.lstat(path) if is_shared_place else os.stat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Refused("DATA_DIR_UNUSABLE", f"The data directory {path} cannot be used: {error.strerror}") from None
    remedy = "choose another with --data-dir or WATTLE_DATA_DIR"
    if not stat.S_ISDIR(found.st_mode):
        raise Refused("DATA_DIR_UNUSABLE", f"The data directory {path} is not a directory; {remedy}")
    if found.st_uid != os.geteuid():
        raise Refused("DATA_DIR_FOREIGN", f"The data directory {path} belongs to user {found.st_uid}; {remedy}")
