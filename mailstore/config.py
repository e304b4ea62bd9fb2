"""The configuration: one TOML file, every key also an environment variable.

`PRINTPOST_SMTP__LISTEN` overrides `[smtp] listen`.  An unknown key or a value that cannot be meant refuses to start,
and says which file and key; nothing is ever guessed.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from mailstore.config_values import Endpoint, Host, Network, Octets, Seconds, Words, domain_name, endpoint

ENVIRONMENT_PREFIX = "PRINTPOST_"
DEFAULT_FILES = (Path("printpost.toml"), Path("/etc/printpost/printpost.toml"))


class ConfigError(Exception):
    """The configuration cannot be meant; the text says where and what to do."""


def own_hostname() -> str:
    """This machine's name; a name that is not a domain name becomes printpost.localdomain."""
    name = socket.gethostname().rstrip(".").lower()
    try:
        return domain_name(name if "." in name else f"{name}.localdomain")
    except ValueError:
        return "printpost.localdomain"


def data_home() -> Path:
    """Where data lies by default: the system's place for root, the user's own for others (XDG base directories)."""
    if os.geteuid() == 0:
        return Path("/var/lib/printpost")
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "printpost"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Site(Section):
    """Who we are: the name in greetings and trace fields, the domains we take mail for, the site's own networks."""

    hostname: Host = Field(default_factory=own_hostname, description="our name in greetings and trace fields")
    domains: Annotated[tuple[Host, ...], Words] = Field(
        (), description="domains of the printers; default: the hostname"
    )
    networks: Annotated[tuple[Network, ...], Words] = Field(
        (ip_network("127.0.0.0/8"), ip_network("::1/128")),
        description="the site's own networks, whose clients are insiders",
    )
    media: str = Field("iso_a4_210x297mm", description="paper for documents that do not say", pattern=r"^[a-z0-9_.-]+$")


Proxies = Annotated[tuple[Network, ...], Words]
_PROXIES = "balancers in front, whose PROXY protocol (version 2) names the client; theirs alone is believed"


class Smtp(Section):
    """The receiver of mail from everywhere."""

    listen: Endpoint = Field("0.0.0.0:2525", description="where mail comes in")
    proxies: Proxies = Field((), description=_PROXIES)
    behind: Literal["", "mta", "nat"] = Field(
        "",
        description='"mta": another mail server hands on what comes here, "nat": a translator hides who connects;'
        " then nobody is an insider by address",
    )
    max_size: Octets = Field(1 << 30, description="largest message from insiders")
    max_size_outside: Octets = Field(50 << 20, description="largest message from others")


class Pop3(Section):
    """Maildrops for printers that poll."""

    listen: Endpoint = Field("0.0.0.0:1110", description="where printers poll")
    proxies: Proxies = Field((), description=_PROXIES)


class Submission(Section):
    """Where people of the site send jobs with a password, STARTTLS first."""

    listen: Endpoint = Field("0.0.0.0:1587", description="where people send jobs with a password, by STARTTLS")
    proxies: Proxies = Field((), description=_PROXIES)


class Submissions(Section):
    """The same with TLS from the first octet (RFC 8314)."""

    listen: Endpoint = Field("0.0.0.0:1465", description="where people send jobs with a password, under TLS")
    proxies: Proxies = Field((), description=_PROXIES)


class Pop3s(Section):
    """POP3 with TLS from the first octet."""

    listen: Endpoint = Field("0.0.0.0:1995", description="where printers poll and people read, under TLS")
    proxies: Proxies = Field((), description=_PROXIES)


class LimitsSettings(Section):
    """What one client, and all of them, may take of the mail ports.  An IPv4 address is its own network."""

    connections: int = Field(1000, ge=1, description="SMTP and submission connections at once")
    connections_per_address: int = Field(50, ge=1, description="of these by one address")
    connections_per_network: int = Field(100, ge=1, description="of these by one IPv6 /64")
    messages_per_connection: int = Field(1000, ge=1, description="mails by one SMTP connection")
    messages_per_minute: int = Field(
        300, ge=0, description="mails by one client outside [site] networks and without a login; 0: any number"
    )
    recipients: int = Field(100, ge=100, description="recipients of a mail; RFC 5321 asks for 100 at least")
    errors: int = Field(20, ge=1, description="refused commands before an SMTP connection is closed")
    received_fields: int = Field(50, ge=10, description="Received fields in a mail before it is a loop")
    header_size: Octets = Field(256 << 10, ge=16 << 10, description="largest header of a mail")
    mime_depth: int = Field(20, ge=3, le=100, description="how deep parts of a mail may lie in each other")
    partial_parts: int = Field(200, ge=2, le=2000, description="parts that a split mail may have")
    partial_size: Octets = Field(256 << 20, description="octets that the parts of a split mail may have together")
    partial_wait: Seconds = Field(86400.0, ge=60, description="how long the parts of a split mail wait for the rest")
    data_rate: int = Field(500, ge=0, description="octets a second that a mail must come with in the long run")
    data_stall: Seconds = Field(180.0, ge=1, description="how long a sender may stop in the middle of a mail")
    command_wait: Seconds = Field(300.0, ge=1, description="how long an SMTP client may think; RFC 5321 asks for 300")
    pop3_connections: int = Field(2000, ge=1, description="POP3 connections at once")
    pop3_connections_per_client: int = Field(50, ge=1, description="of these by one IPv4 address or IPv6 /64")
    password_guesses: int = Field(
        10, ge=1, description="wrong passwords by one client in five minutes before each further one waits longer"
    )


class ProofSettings(Section):
    """How senders of other sites are proved: SPF, DKIM, DMARC and ARC."""

    dns: Annotated[tuple[Endpoint, ...], Words] = Field(
        (), description="name servers, HOST:PORT; default: those of the system"
    )
    dns_wait: Seconds = Field(5.0, ge=0.1, le=60, description="how long one question to the DNS may take")
    forwarders: Annotated[tuple[Host, ...], Words] = Field(
        (), description="domains whose ARC seals are trusted: what they say they saw proved counts as proved"
    )


class Web(Section):
    """The page and the API."""

    listen: Endpoint = Field("127.0.0.1:8025", description="the page and the API; HTTPS where this is not loopback")
    names: Annotated[tuple[Host, ...], Words] = Field(
        (), description="further host names by which browsers may ask for the page"
    )


class TlsSettings(Section):
    """The certificate of all listeners; without one a self-signed one is made."""

    certificate: Path | None = Field(None, description="PEM file with the certificate and what leads to its root")
    key: Path | None = Field(None, description="PEM file with the certificate's key")


class Metrics(Section):
    """Prometheus and the probes, of the appliance."""

    listen: Endpoint = Field("127.0.0.1:9125", description="/metrics, /livez and /readyz of the appliance")


class Bridge(Section):
    """The process that prints."""

    metrics_listen: Endpoint = Field("127.0.0.1:9126", description="/metrics, /livez and /readyz of the bridge")
    converters: int = Field(2, ge=1, le=64, description="how many converters may run at once")
    memory: Octets = Field(4 << 30, ge=256 << 20, description="what all converters together may take")
    risky: bool = Field(
        False, description="open strangers' PostScript and Office documents even where converters are poorly confined"
    )


class DirectorySettings(Section):
    """Where printers' entries live: "embedded", or an LDAP server that has our schema."""

    url: str = Field(
        "embedded", pattern=r"^(embedded|ldaps?://.+|ldapi://.+)$", description='"embedded" or an LDAP URL'
    )
    base: str = Field("dc=printpost", description="the entry under which all of ours stand")
    bind_dn: str = Field("", description="who we are to a foreign directory")
    bind_password_file: Path | None = Field(None, description="file with the password of bind_dn")
    ca: Path | None = Field(None, description="file with the certificates that may sign the server's")


class PeopleSettings(Section):
    """The site's own directory of people, which Printpost only reads; without a URL there are our own users alone."""

    url: str = Field("", pattern=r"^(|ldaps?://.+|ldapi://.+)$", description="an LDAP URL; empty: only our own users")
    base: str = Field("", description="the entry under which people are sought")
    filter: str = Field("(objectClass=person)", description="which entries there are people")
    bind_dn: str = Field("", description="who we are to that directory")
    bind_password_file: Path | None = Field(None, description="file with the password of bind_dn")
    ca: Path | None = Field(None, description="file with the certificates that may sign the server's")
    administrators: Annotated[tuple[str, ...], Words] = Field(
        (), description="names of those among them who administer Printpost"
    )


class Relay(Section):
    """The way out for notices; without a smarthost only our own users are reached."""

    smarthost: Annotated[str, AfterValidator(lambda value: value and endpoint(value))] = Field(
        "", description="HOST:PORT of the mail server that takes our mail to others"
    )
    user: str = Field("", description="our user name there")
    password_file: Path | None = Field(None, description="file with the password of user")
    tls: Literal["auto", "starttls", "implicit", "none"] = Field(
        "auto", description="auto: implicit on port 465, STARTTLS where it is offered, and always before a password"
    )
    ca: Path | None = Field(None, description="file with the certificates that may sign the smarthost's")
    sender: str = Field(
        "",
        alias="from",
        description="the From address of notices; default: postmaster at the first domain",
    )


class StoreSettings(Section):
    """Where messages and jobs are kept."""

    url: str = Field(
        default_factory=lambda: f"sqlite:{data_home()}", pattern=r"^sqlite:.+$", description="sqlite:FOLDER"
    )
    keep: Seconds = Field(86400.0, description="how long a job's octets stay after its end")
    reserve: Octets = Field(256 << 20, description="free disk space below which mail is refused")

    @property
    def folder(self) -> Path:
        """The data folder: everything at rest is below it."""
        path = re.sub(r"^sqlite:(//(?=/))?", "", self.url)
        return Path(path).expanduser().absolute()


class Settings(BaseSettings):
    """All sections, checked."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
        enable_decoding=False,
        nested_model_default_partial_update=True,
    )

    site: Site = Field(default_factory=Site)
    smtp: Smtp = Field(default_factory=Smtp)
    submission: Submission = Field(default_factory=Submission)
    submissions: Submissions = Field(default_factory=Submissions)
    pop3: Pop3 = Field(default_factory=Pop3)
    pop3s: Pop3s = Field(default_factory=Pop3s)
    limits: LimitsSettings = Field(default_factory=LimitsSettings)
    proof: ProofSettings = Field(default_factory=ProofSettings)
    web: Web = Field(default_factory=Web)
    tls: TlsSettings = Field(default_factory=TlsSettings)
    metrics: Metrics = Field(default_factory=Metrics)
    bridge: Bridge = Field(default_factory=Bridge)
    directory: DirectorySettings = Field(default_factory=DirectorySettings)
    people: PeopleSettings = Field(default_factory=PeopleSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    relay: Relay = Field(default_factory=Relay)

    @property
    def domains(self) -> tuple[str, ...]:
        return self.site.domains or (self.site.hostname,)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings  # the environment overrides the file, which comes by keyword


def load(file: Path | None = None) -> tuple[Settings, Path | None]:
    """The settings, and the file they came from: `file`, else the first of `DEFAULT_FILES` that is there, else none.

    Raises `ConfigError`.
    """
    if file is None and (named := os.environ.get(f"{ENVIRONMENT_PREFIX}CONFIG")):
        file = Path(named)
    path = file or next(filter(_is_there, DEFAULT_FILES), None)
    data = _read(path) if path else {}
    _refuse_unknown_environment()
    try:
        settings = Settings(**data)
        assert settings.store.folder
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(item, path) for item in error.errors())) from None
    except RuntimeError:  # pathlib's, for a "~" that stands for nothing: a user without a home, or no user
        raise ConfigError(
            f"{path or 'the configuration'}: [store] url: the user has no home folder;"
            " name a folder in full, as in sqlite:/var/lib/printpost"
        ) from None
    return settings, path


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except PermissionError:
        return path.is_absolute()  # then reading it says so; where we only happen to stand, nothing is meant for us
    except OSError:
        return False
    return True


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None


def _refuse_unknown_environment() -> None:
    """pydantic-settings sees misspelt keys of known sections, not misspelt sections."""
    for name in os.environ:
        if name.startswith(ENVIRONMENT_PREFIX) and name != f"{ENVIRONMENT_PREFIX}CONFIG":
            section = name.removeprefix(ENVIRONMENT_PREFIX).partition("__")[0].lower()
            if section not in Settings.model_fields:
                raise ConfigError(f"environment variable {name}: there is no section [{section}]")


def _sentence(item: Any, path: Path | None) -> str:
    keys = [str(key) for key in item["loc"]]
    variable = ENVIRONMENT_PREFIX + "__".join(keys[:2]).upper()
    where = f"environment variable {variable}" if variable in os.environ else f"{path or 'the configuration'}"
    place = f"[{keys[0]}]" + (f" {keys[1]}" if len(keys) > 1 else "")
    if item["type"] == "extra_forbidden":
        kind = "key" if len(keys) > 1 else "section"
        return f"{where}: {place}: there is no such {kind}; known are {', '.join(_known(keys[:-1]))}"
    return f"{where}: {place}: {item['msg'].removeprefix('Value error, ')}"


def _known(section: list[str]) -> list[str]:
    if not section:
        return sorted(Settings.model_fields)
    model = Settings.model_fields[section[0]].annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return sorted(field.alias or name for name, field in model.model_fields.items())
