"""Who a worker runs as: `name`, `uid`, `name:group`, `uid:gid`, as the machine's accounts have it. Changes nothing."""

import grp
import os
import pwd

HIGHEST_ID = 2**32 - 2


class Account:
    """`home` and `shell` are `/` and `/bin/sh` where the uid has no account."""

    __slots__ = ("gid", "groups", "home", "name", "shell", "uid")

    def __init__(self, uid: int, gid: int, groups: list[int], name: str, home: str, shell: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.name = name
        self.home = home
        self.shell = shell

    @property
    def variables(self) -> dict[bytes, bytes]:
        pairs = {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell}
        return {name.encode(): os.fsencode(value) for name, value in pairs.items()}

    @property
    def is_mine(self) -> bool:
        """Whether this process runs as it already, so that nothing has to be permitted."""
        return (os.getuid(), os.geteuid(), os.getgid(), os.getegid()) == (self.uid, self.uid, self.gid, self.gid)


def find_account(user: str) -> Account:
    """LookupError says what there is not. Another group replaces the account's first one; its others stay."""
    name, _, group = user.partition(":")
    entry = _entry(name)
    if entry is None and not (name.isdigit() and group):
        hint = f"; give a group too ({name}:GROUP) to do without one" if name.isdigit() else ""
        raise LookupError(f"there is no account {name!r} on this machine{hint}")
    gid = _group(group) if group else entry.pw_gid if entry else 0
    if entry is None:
        return Account(int(name), gid, [gid], name, "/", "/bin/sh")
    groups = os.getgrouplist(entry.pw_name, gid)
    return Account(entry.pw_uid, gid, groups, entry.pw_name, entry.pw_dir or "/", entry.pw_shell or "/bin/sh")


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        return None


def _group(group: str) -> int:
    if group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise LookupError(f"there is no group {group!r} on this machine") from None
