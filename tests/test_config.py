"""Config: which source wins, what is refused, and in which words."""

import os
import socket

import pytest

from wattle.config import Address, check_exposure, load_config, parse_address
from wattle.errors import Malformed, Refused


@pytest.fixture
def home(tmp_path):
    path = tmp_path / "home"
    path.mkdir()
    return str(path)


def write_config(home, text):
    path = os.path.join(home, ".config/wattle/config.toml")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    return path


def test_defaults_are_the_documented_ones(home):
    config = load_config({}, {"HOME": home}, "/somewhere")
    assert config.data_dir == f"{home}/.local/state/wattle"
    assert config.listen == (Address("localhost", 9240),)
    assert (config.max_processes, config.insecure, config.lang, config.stop_workers) == (256, False, "en", False)
    assert (config.server_url, config.base_dir, config.home) == (None, "/somewhere", home)
    assert (config.keep_runs, config.keep_days, config.keep_logs) == (200, 90, 10 * 1024**3)
    assert config.notices == ()
    assert config.socket_path == f"{home}/.local/state/wattle/http.sock"


@pytest.mark.parametrize(
    "file, variable, flag, wanted",
    [
        (None, None, None, 256),
        (3, None, None, 3),
        (3, "4", None, 4),
        (3, "4", "5", 5),
        (None, "4", None, 4),
        (3, None, "5", 5),
        (3, "", None, 3),  # an empty variable counts as unset
    ],
)
def test_later_sources_win(home, file, variable, flag, wanted):
    if file is not None:
        write_config(home, f"max_processes = {file}\n")
    environ = {"HOME": home} | ({} if variable is None else {"WATTLE_MAX_PROCESSES": variable})
    assert load_config({"max_processes": flag}, environ, "/").max_processes == wanted


@pytest.mark.parametrize(
    "flags, environ, wanted",
    [
        ({"data_dir": "/f"}, {"WATTLE_DATA_DIR": "/e", "XDG_STATE_HOME": "/x"}, "/f"),
        ({}, {"WATTLE_DATA_DIR": "/e", "XDG_STATE_HOME": "/x"}, "/e"),
        ({}, {"XDG_STATE_HOME": "/x"}, "/x/wattle"),
        ({}, {"XDG_STATE_HOME": "relative"}, "HOME/.local/state/wattle"),
        ({"data_dir": "sub/../d"}, {}, "/cwd/d"),
        ({"data_dir": "~/d"}, {}, "HOME/d"),
        ({"data_dir": "~"}, {}, "HOME"),
        ({"data_dir": "~other"}, {}, "/cwd/~other"),
    ],
)
def test_data_directory_is_found_in_the_documented_order(home, flags, environ, wanted):
    config = load_config(flags, {"HOME": home} | environ, "/cwd")
    assert config.data_dir == wanted.replace("HOME", home)


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "/dev/null"}])
def test_without_a_usable_home_everything_is_in_var_tmp_and_that_is_said_until_it_is_there(environ):
    fallback = f"/var/tmp/wattle-{os.geteuid()}"
    config = load_config({}, environ, "/")
    assert config.data_dir == fallback
    if os.path.exists(fallback):
        assert config.notices == ()
    else:
        assert len(config.notices) == 1 and fallback in config.notices[0] and "HOME" in config.notices[0]


def test_data_directory_of_another_user_is_refused(home, tmp_path):
    if os.geteuid() == 0:
        path = tmp_path / "other"
        path.mkdir()
        os.chown(path, 12345, 12345)
    else:
        path = "/"  # root's
    with pytest.raises(Refused) as refused:
        load_config({"data_dir": str(path)}, {"HOME": home}, "/")
    assert refused.value.code == "DATA_DIR_FOREIGN"
    assert str(path) in refused.value.message and "--data-dir" in refused.value.message


def test_data_directory_that_is_a_file_is_refused(home, tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(Refused, match="is not a directory") as refused:
        load_config({"data_dir": str(path)}, {"HOME": home}, "/")
    assert refused.value.code == "DATA_DIR_UNUSABLE"


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("localhost:9240", ("localhost", 9240)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:8080", ("::1", 8080)),
        ("[::]:0", ("::", 0)),
        ("9240", ("localhost", 9240)),
        (":9241", ("localhost", 9241)),
        ("build.example.org:65535", ("build.example.org", 65535)),
    ],
)
def test_addresses_are_read(text, wanted):
    assert parse_address(text) == Address(*wanted)


@pytest.mark.parametrize(
    "text", ["", "localhost", "localhost:", "::1:80", "[::1]", "a:b", "x:65536", "[zz]:1", "1:2:3"]
)
def test_addresses_that_mean_nothing_are_not(text):
    with pytest.raises(ValueError):
        parse_address(text)


def test_localhost_is_both_loopback_addresses_and_only_the_first_is_needed():
    """F72: `localhost` that is ::1 for a client is served, and where there is no ::1 the server starts all the same."""
    assert [tuple(bind) for bind in Address("localhost", 7).binds] == [("127.0.0.1", 7, True), ("::1", 7, False)]
    assert [tuple(bind) for bind in Address("::1", 7).binds] == [("::1", 7, True)]
    assert str(Address("::1", 7)) == "[::1]:7"


def test_lists_come_from_every_source(home):
    write_config(home, 'listen = [9241, "[::1]:9242"]\nallow_hosts = ["a"]\n')
    from_file = load_config({}, {"HOME": home}, "/")
    assert from_file.listen == (Address("localhost", 9241), Address("::1", 9242))
    assert from_file.allow_hosts == ("a",)
    environ = {"HOME": home, "WATTLE_LISTEN": "127.0.0.1:1, 127.0.0.1:2", "WATTLE_ALLOW_HOSTS": "b, c"}
    from_environment = load_config({}, environ, "/")
    assert from_environment.listen == (Address("127.0.0.1", 1), Address("127.0.0.1", 2))
    assert from_environment.allow_hosts == ("b", "c")
    from_flags = load_config({"listen": ("3", "3"), "allow_hosts": ("d",)}, environ, "/")
    assert from_flags.listen == (Address("localhost", 3),)
    assert from_flags.allow_hosts == ("d",)


@pytest.mark.parametrize(
    "flags, environ, said",
    [
        ({"max_processes": "many"}, {}, ("max_processes", "'many'", "--max-processes")),
        ({"ballast_bytes": "-1"}, {}, ("ballast_bytes", "'-1'", "--ballast-bytes", "bytes")),
        ({}, {"WATTLE_BALLAST_BYTES": "1X"}, ("ballast_bytes", "'1X'", "WATTLE_BALLAST_BYTES")),
        ({}, {"WATTLE_MAX_PROCESSES": "0"}, ("max_processes", "'0'", "WATTLE_MAX_PROCESSES")),
        ({}, {"WATTLE_LISTEN": "nowhere"}, ("listen", "'nowhere'", "WATTLE_LISTEN", "HOST:PORT")),
        ({"lang": "fr"}, {}, ("lang", "'fr'", "--lang", "en, zh")),
        ({}, {"WATTLE_INSECURE": "perhaps"}, ("insecure", "'perhaps'", "WATTLE_INSECURE", "true or false")),
        ({}, {"WATTLE_URL": "localhost:9240"}, ("server_url", "WATTLE_URL", "http://")),
        ({}, {"WATTLE_CONFIG": "/nowhere/c.toml"}, ("/nowhere/c.toml", "No such file")),
    ],
)
def test_what_is_wrong_is_said_with_its_name_value_and_source(home, flags, environ, said):
    with pytest.raises(Malformed) as malformed:
        load_config(flags, {"HOME": home} | environ, "/")
    assert malformed.value.code == "INVALID_SETTING"
    for word in said:
        assert word in malformed.value.message


@pytest.mark.parametrize(
    "text, said",
    [
        ("max_process = 3", "did you mean 'max_processes'?"),
        ("max_processes = true", "max_processes is 'True'"),
        ("insecure = 1.5", "insecure is '1.5'"),
        ("listen = {}", "expected a text or a list"),
        ("allow_hosts = [1]", "allow_hosts"),
        ("=", "is not TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_path(home, text, said):
    path = write_config(home, text)
    with pytest.raises(Malformed) as malformed:
        load_config({}, {"HOME": home}, "/")
    assert said in malformed.value.message and path in malformed.value.message


def test_configuration_file_is_found_where_it_is_named(home, tmp_path):
    write_config(home, "max_processes = 1")
    (tmp_path / "xdg/wattle").mkdir(parents=True)
    (tmp_path / "xdg/wattle/config.toml").write_text("max_processes = 2")
    (tmp_path / "named.toml").write_text("max_processes = 3")
    xdg = {"HOME": home, "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    assert load_config({}, xdg, "/").max_processes == 2
    assert load_config({}, xdg | {"WATTLE_CONFIG": str(tmp_path / "named.toml")}, "/").max_processes == 3


def test_variables_of_workers_are_no_settings(home):
    environ = {"HOME": home, "WATTLE_WORKFLOW": "w", "WATTLE_RUN_ID": "3", "WATTLE_OUTPUT_X": "/x"}
    assert load_config({}, environ, "/").data_dir.startswith(home)


@pytest.mark.parametrize(
    "listen, is_exposed",
    [("localhost:1", False), ("127.0.0.5:1", False), ("[::1]:1", False), ("0.0.0.0:1", True), ("[::]:1", True),
     ("10.0.0.1:1", True), (f"{socket.gethostname()}x:1", True)],
)  # fmt: skip
def test_listening_beyond_this_machine_needs_insecure(home, listen, is_exposed):
    config = load_config({"listen": (listen,)}, {"HOME": home}, "/")
    assert bool(config.exposed) == is_exposed
    if is_exposed:
        with pytest.raises(Refused, match="--insecure"):
            check_exposure(config)
    else:
        check_exposure(config)
    check_exposure(load_config({"listen": (listen,), "insecure": True}, {"HOME": home}, "/"))


@pytest.mark.parametrize("given, wanted", [(None, 1024 * 1024), ("0", 0), ("4096", 4096)])
def test_the_ballast_has_a_size_or_is_none(given: str | None, wanted: int) -> None:
    environ = {"XDG_STATE_HOME": "/tmp", "XDG_CONFIG_HOME": "/nowhere"}
    assert load_config({"ballast_bytes": given}, environ, "/").ballast_bytes == wanted


@pytest.mark.parametrize(
    "given, wanted",
    [("0", 0), ("512", 512), ("1k", 1024), ("500M", 500 * 1024**2), ("10 GiB", 10 * 1024**3), ("2TB", 2 * 1024**4),
     (7, 7), ("7B", 7)],
)  # fmt: skip
def test_sizes_are_read_in_powers_of_1024(home, given, wanted):
    assert load_config({"keep_logs": given}, {"HOME": home}, "/").keep_logs == wanted


@pytest.mark.parametrize(
    "flags, named",
    [
        ({"keep_logs": "much"}, ("keep_logs", "'much'", "--keep-logs", "500M")),
        ({"keep_logs": "-1"}, ("keep_logs", "'-1'")),
        ({"keep_logs": True}, ("keep_logs",)),
        ({"keep_runs": "0"}, ("keep_runs", "'0'")),
        ({"keep_days": "-1"}, ("keep_days", "'-1'")),
        ({"keep_days": "1.5"}, ("keep_days", "'1.5'")),
    ],
)
def test_a_limit_of_retention_that_makes_no_sense_is_refused(home, flags, named):
    with pytest.raises(Malformed) as refused:
        load_config(flags, {"HOME": home}, "/")
    assert refused.value.code == "INVALID_SETTING"
    assert all(word in refused.value.message for word in named)


def test_no_days_are_a_limit_too(home):
    assert load_config({"keep_days": "0"}, {"HOME": home}, "/").keep_days == 0
