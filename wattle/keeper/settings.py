"""What a worker asks for beyond a plain spawn: user, umask, nice, limits. For a forked child, never the keeper.

The order of the steps is what makes them exact: what only root may do comes before the user is changed, what
the user must be permitted (entering the directory, executing the program) after it, and the limit of the
address space last, for the child itself lives under it until it executes.
"""

import os
import resource
from contextlib import suppress

from wattle.keeper.account import Account, find_account
from wattle.keeper.refusals import LOG_FLAGS, Refusal, directory_refusal, log_refusal, machine_refusal, words
from wattle.keeper.worker import Order

RLIMITS = {
    "open_files": resource.RLIMIT_NOFILE,
    "core_bytes": resource.RLIMIT_CORE,
    "processes": resource.RLIMIT_NPROC,
    "address_space_bytes": resource.RLIMIT_AS,
}
UNLIMITED = "unlimited"


class CannotBecome(Exception):
    """Carries the Refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


def become(order: Order, env: dict[bytes, bytes]) -> str:
    """Make this forked child what the order wants, up to the execution itself; `env` gets the account's variables.

    Gives the name of the user it runs as, empty where that is the server's own. Raises CannotBecome.
    """
    settings = order.settings or {}
    account = _account(settings.get("user"))
    os.setsid()
    umask = os.umask(0)  # the mode of the logs is theirs alone
    _open_files(order, account)
    if settings.get("nice") is not None:
        _set_nice(settings["nice"])
    limits = dict(settings.get("rlimits") or {})
    address_space = limits.pop("address_space_bytes", None)
    for name, value in limits.items():
        _set_limit(name, value)
    if address_space is not None:
        _make_room(address_space)
    if account is not None:
        _change_user(account, order.cwd)
        env |= {name: value for name, value in account.variables.items() if name.decode() not in order.env}
    os.umask(umask if settings.get("umask") is None else settings["umask"])
    if address_space is not None:
        _set_limit("address_space_bytes", address_space)
    return account.name if account is not None else ""


def _account(user: str | None) -> Account | None:
    if user is None:
        return None
    try:
        return find_account(user)
    except LookupError as error:
        raise CannotBecome(Refusal("user_unknown", f"it cannot run as user {user!r}: {error.args[0]}")) from None


def _open_files(order: Order, account: Account | None) -> None:
    """Descriptors 0, 1, 2, and those that the order names. They become the user's, so that /dev/stdout can be opened
    again."""
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    for number, log in ((1, order.stdout), (2, order.stderr), *order.descriptors.items()):
        try:
            os.dup2(os.open(log, LOG_FLAGS, 0o600), number)
        except OSError as error:
            raise CannotBecome(log_refusal(order, log, error)) from None
        if account is not None and os.geteuid() == 0:
            with suppress(PermissionError):  # then it cannot become that user either, and will say so
                os.fchown(number, account.uid, account.gid)


def _set_nice(nice: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except OSError:
        mine = os.getpriority(os.PRIO_PROCESS, 0)
        reason = f"it may not have nice {nice}: only root may go below the server's own, which is {mine}"
        raise CannotBecome(Refusal("nice_not_permitted", reason)) from None


def _set_limit(name: str, value: int | str) -> None:
    wanted = resource.RLIM_INFINITY if value == UNLIMITED else int(value)
    try:
        resource.setrlimit(RLIMITS[name], (wanted, wanted))
    except (OSError, ValueError):
        hard = resource.getrlimit(RLIMITS[name])[1]
        given = UNLIMITED if hard == resource.RLIM_INFINITY else hard
        reason = f"it may not have the limit {name} {value}: the server's own is {given}, and it may not give more"
        raise CannotBecome(Refusal("rlimit_not_permitted", reason)) from None


def _make_room(address_space: int | str) -> None:
    """Raise the hard limit while that is permitted; it is set, soft and hard, after the user was changed."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = resource.RLIM_INFINITY if address_space == UNLIMITED else int(address_space)
    infinite = resource.RLIM_INFINITY
    if hard != infinite and (wanted == infinite or wanted > hard):
        _set_limit("address_space_bytes", address_space)


def _change_user(account: Account, cwd: str) -> None:
    if not account.is_mine:
        try:
            os.setgroups(account.groups)
            os.setresgid(account.gid, account.gid, account.gid)
            os.setresuid(account.uid, account.uid, account.uid)
        except PermissionError:
            reason = f"it cannot run as user {account.name!r}: the server does not run as root"
            raise CannotBecome(Refusal("user_not_permitted", reason)) from None
        except OSError as error:
            refusal = machine_refusal(account.name, error)
            reason = f"it cannot run as user {account.name!r}: {words(error)}"
            raise CannotBecome(refusal or Refusal("user_not_permitted", reason)) from None
    try:
        os.chdir(cwd)
    except OSError as error:
        raise CannotBecome(directory_refusal(cwd, error, account.name)) from None
