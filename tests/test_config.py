"""The configuration: a bad one refuses to start, for the stated reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mailstore import config
from mailstore.config_values import split_endpoint

BAD = sorted((Path(__file__).parent / "bad_configs").glob("*.toml"))


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config, "DEFAULT_FILES", (Path("printpost.toml"),))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_each_bad_configuration_is_refused_for_its_reason(path: Path) -> None:
    """The first line of each file is a comment with what the error must say."""
    wanted = path.read_text().splitlines()[0].removeprefix("# ")
    with pytest.raises(config.ConfigError) as error:
        config.load(path)
    assert str(path) in str(error.value)
    assert wanted in str(error.value)


def test_there_is_a_sample_for_each_kind_of_mistake() -> None:
    assert len(BAD) >= 8


def test_defaults_need_no_file_and_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, path = config.load()
    assert path is None
    assert settings.domains == (settings.site.hostname,)
    ports = [split_endpoint(section.listen)[1] for section in (settings.smtp, settings.pop3, settings.metrics)]
    assert ports == [2525, 1110, 9125]


def test_the_file_in_the_working_folder_is_found() -> None:
    Path("printpost.toml").write_text('[smtp]\nmax_size = "2 MB"\n')
    settings, path = config.load()
    assert path == Path("printpost.toml")
    assert settings.smtp.max_size == 2 << 20


def test_the_environment_overrides_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("printpost.toml").write_text('[smtp]\nlisten = "127.0.0.1:1"\nmax_size = 5\n')
    monkeypatch.setenv("PRINTPOST_SMTP__LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("PRINTPOST_SITE__NETWORKS", "192.0.2.0/24, 2001:db8::/32")
    settings, _ = config.load()
    assert (settings.smtp.listen, settings.smtp.max_size) == ("127.0.0.1:2", 5)
    assert [str(network) for network in settings.site.networks] == ["192.0.2.0/24", "2001:db8::/32"]


def test_a_network_of_ipv4_clients_in_ipv6_is_one_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients' addresses are compared so, and a balancer or an insider would not be known."""
    monkeypatch.setenv("PRINTPOST_SMTP__PROXIES", "::ffff:10.0.0.5, ::ffff:10.1.0.0/112, ::/0")
    settings, _ = config.load()
    assert [str(network) for network in settings.smtp.proxies] == ["10.0.0.5/32", "10.1.0.0/16", "::/0"]


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        (
            "PRINTPOST_SMTP__LISTEN",
            "everywhere",
            'PRINTPOST_SMTP__LISTEN: [smtp] listen: "everywhere" is not HOST:PORT',
        ),
        ("PRINTPOST_SMTP__LISTN", "127.0.0.1:1", "[smtp] listn: there is no such key; known are behind, listen"),
        ("PRINTPOST_SMPT__LISTEN", "127.0.0.1:1", "PRINTPOST_SMPT__LISTEN: there is no section [smpt]"),
    ],
)
def test_a_bad_variable_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, wanted: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(config.ConfigError, match=re.escape(wanted)):
        config.load()


def test_a_file_that_was_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRINTPOST_CONFIG", "elsewhere.toml")
    with pytest.raises(config.ConfigError, match=r"elsewhere\.toml cannot be read"):
        config.load()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("127.0.0.1:25", ("127.0.0.1", 25)),
        ("[::1]:25", ("::1", 25)),
        (":25", ("", 25)),
        ("mail.example.com:0", ("mail.example.com", 0)),
    ],
)
def test_endpoints(text: str, wanted: tuple[str, int]) -> None:
    assert split_endpoint(text) == wanted


@pytest.mark.parametrize("text", ["", "25", "::1:25", "host:", "host:70000", "a b:1", "[::1]"])
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        split_endpoint(text)


@pytest.mark.parametrize(
    ("url", "folder"),
    [("sqlite:/var/lib/x", "/var/lib/x"), ("sqlite:///var/lib/x", "/var/lib/x"), ("sqlite:here", "here")],
)
def test_the_data_folder(url: str, folder: str, tmp_path: Path) -> None:
    Path("printpost.toml").write_text(f'[store]\nurl = "{url}"\n')
    assert config.load()[0].store.folder == tmp_path / folder


@pytest.mark.parametrize(("text", "seconds"), [('"24h"', 86400), ('"90 d"', 90 * 86400), ("0", 0), ('"1.5 m"', 90)])
def test_periods(text: str, seconds: float) -> None:
    Path("printpost.toml").write_text(f"[store]\nkeep = {text}\n")
    assert config.load()[0].store.keep == seconds


def test_a_hostname_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config.socket, "gethostname", lambda: "what is_this")
    assert config.own_hostname() == "printpost.localdomain"


@pytest.mark.parametrize("variables", [{"PRINTPOST_STORE__URL": "sqlite:~nobody-of-this-name/x"}, {"HOME": "~"}])
def test_a_home_that_nobody_has(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(config.ConfigError, match=r"\[store\] url: .* name a folder in full"):
        config.load()


class Locked(type(Path())):  # type: ignore[misc]
    """A file in a folder that may not be entered, also by root, whom no mode keeps out."""

    def lstat(self, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    read_text = lstat


def test_a_folder_that_may_not_be_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DEFAULT_FILES", (Locked("printpost.toml"),))
    assert config.load()[1] is None
    monkeypatch.setattr(config, "DEFAULT_FILES", (Locked("/etc/printpost/printpost.toml"),))
    with pytest.raises(config.ConfigError, match=r"/etc/printpost/printpost.toml cannot be read"):
        config.load()
