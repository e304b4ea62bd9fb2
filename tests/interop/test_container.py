"""The image: built, and run as its makers mean it to be run; and the parts of `deploy/compose.full.yaml` together."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mailstore.config import Settings
from tests.interop.engines import ROOT, Engine, Running, Service, call, found, until
from tests.interop.programs import program

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(1800)]

DATA = "/var/lib/printpost"
HOSTNAME = "print.example.com"
USER = "65532"
INSIDE = (ROOT / "tests" / "interop" / "inside.py").read_text(encoding="utf-8")
OF_THIS_MACHINE = {"name", "dns", "sandbox", "files"}
"""What `doctor` may find wrong outside our image: no DNS, an engine without user namespaces, few open files."""
WELCOME = re.compile(r"The page is (\S+)\nLog in as admin with the password (\S+) \(shown only now\)\.")
PRINTER = ["printer", "add", "phaser360", "--uri", "socket://127.0.0.1:9100", "--allow", "*"]

# Finds processes by a word of their command line, and signals them: the image has no other tools for it.
SIGNAL = """
import os, pathlib, sys
word, number = sys.argv[1], int(sys.argv[2])
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        words = (folder / "cmdline").read_bytes().split(b"\\0")
    except OSError:
        continue
    if word.encode() in words and int(folder.name) != os.getpid():
        os.kill(int(folder.name), number)
        print(folder.name)
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """The image, built once."""
    made = found()
    try:
        made.build()
        yield made
    finally:
        made.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user reaches, for containers to see."""
    made = Path(tempfile.mkdtemp(prefix="pp-container-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def healthy(running: Running, *role: str) -> bool:
    return running.execute("printpost", "healthcheck", *role)[0] == 0


def pid_of(running: Running, word: str, number: int = 0) -> str:
    """The process with this word in its command line, after it got a signal; "" if there is none."""
    status, said = running.execute("python3", "-c", SIGNAL, word, str(number))
    assert status == 0, said
    return said.strip()


def state(running: Running, job: int) -> str:
    status, said = running.execute("printpost", "job", "show", str(job), "--json")
    assert status == 0, said
    return str(json.loads(said)["state"])


def done(running: Running, *command: str) -> str:
    """What a command says that must succeed."""
    status, said = running.execute(*command)
    assert status == 0, f"{' '.join(command[:3])}: {said}"
    return said


def inside(running: Running, *words: str) -> str:
    return done(running, "python3", "-c", INSIDE, *words)


def welcomed(running: Running) -> tuple[str, str]:
    """Where the page is, and the password of the first administrator, from what the container has said."""
    until(lambda: "Log in as" in running.said())
    found = WELCOME.search(running.said())
    assert found, running.said()
    return found[1], found[2]


def number_of(said: str) -> int:
    found = re.search(r"job (\d+)", said)
    assert found, said
    return int(found[1])


def test_the_image_says_how_it_is_to_be_run(engine: Engine) -> None:
    settings = engine.settings()
    assert settings["User"] == "65532:65532"
    assert (settings["Entrypoint"], settings["Cmd"]) == (["printpost"], ["up"])
    assert list(settings["Volumes"]) == [DATA]
    assert settings["Healthcheck"]["Test"] == ["CMD", "printpost", "healthcheck"]
    listeners = {f"{port}/tcp" for port in (2525, 1587, 1465, 1110, 1995, 8025, 9125, 9126)}
    assert set(settings["ExposedPorts"]) == listeners
    assert settings["Labels"]["org.opencontainers.image.title"] == "Printpost"


@pytest.mark.parametrize("without", [(), ("/usr/bin/bwrap",)], ids=["bubblewrap", "no-namespaces"])
def test_a_page_is_printed_with_one_command(engine: Engine, without: tuple[str, ...]) -> None:
    with engine.start(Service(command=["demo", "--once"], without=without)) as demo:
        status = demo.wait(120)
        said = demo.said()
    assert status == 0, said
    assert "1 page, the same as the source" in said


def test_the_page_lies_where_its_user_wants_it(engine: Engine, folder: Path) -> None:
    user = os.geteuid() or 40001  # any user: the image knows none but its own
    os.chown(folder, user, -1)
    group = folder.stat().st_gid
    printing = Service(
        command=["demo", "--once", "--folder", "/out"], user=f"{user}:{group}", volumes={"/out": str(folder)}
    )
    with engine.start(printing) as demo:
        assert demo.wait(120) == 0, demo.said()
    pages = list((folder / "paper").glob("*.pdf"))
    assert [page.read_bytes()[:5] for page in pages] == [b"%PDF-"]
    assert pages[0].stat().st_uid == user


def test_up_begins_with_an_empty_volume_and_ends_in_order(engine: Engine) -> None:
    volumes, environment = {DATA: "up"}, {"PRINTPOST_SITE__HOSTNAME": HOSTNAME}
    with engine.start(Service(volumes=volumes, environment=environment)) as up:
        until(lambda: healthy(up))
        assert up.execute("id", "-u")[1].strip() == USER
        assert up.execute("touch", "/anywhere")[0] != 0
        page, password = welcomed(up)
        findings = json.loads(done(up, "printpost", "doctor", "--json"))
        assert {one["subject"] for one in findings if one["level"] in ("warning", "error")} <= OF_THIS_MACHINE, findings
        done(up, "printpost", *PRINTER)
        assert page == f"https://{HOSTNAME}:8025/"
        inside(up, "doors", password, f"admin@{HOSTNAME}", f"phaser360@{HOSTNAME}")
        up.signal(signal.SIGTERM)
        assert up.wait() == 0
        said = up.said()
    assert said.count('"stopping"') == 2, said  # the appliance and the bridge
    assert said.count(password) == 1
    assert "Traceback" not in said
    with engine.start(Service(volumes=volumes, environment=environment)) as up:  # the volume is found again
        until(lambda: healthy(up))
        assert "phaser360" in done(up, "printpost", "printer", "list")
        inside(up, "doors", password, f"admin@{HOSTNAME}", f"phaser360@{HOSTNAME}")
        assert "Log in as" not in up.said()


def test_healthcheck_fails_while_a_process_is_stopped(engine: Engine) -> None:
    with engine.start(Service(environment={"http_proxy": "http://192.0.2.1:3128"})) as up:  # which Docker may set
        until(lambda: healthy(up))
        for word, role in (("appliance", "serve"), ("printerbridge", "bridge")):
            assert pid_of(up, word, signal.SIGSTOP)
            status, said = up.execute("printpost", "healthcheck")
            assert (status, f"{role} does not answer" in said) == (69, True), said
            pid_of(up, word, signal.SIGCONT)
            assert healthy(up)


@pytest.mark.parametrize("word", ["printerbridge", "appliance"])
def test_what_is_killed_is_started_again(engine: Engine, word: str) -> None:
    with engine.start(Service()) as up:
        until(lambda: healthy(up))
        first = pid_of(up, word, signal.SIGKILL)
        until(lambda: pid_of(up, word) not in ("", first) and healthy(up))


# -- deploy/compose.full.yaml


def compose(name: str) -> dict[str, Any]:
    """A compose file as data, read by Debian's YAML library."""
    script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)"
    python = "/usr/bin/python3"
    done = subprocess.run([python, "-c", script, str(ROOT / "deploy" / name)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("Debian's python3-yaml is not installed; .ci/packages interop does that")
    return dict(json.loads(done.stdout))


MAIL = ["25:2525", "587:1587", "465:1465", "110:1110", "995:1995"]
PAGE = "127.0.0.1:8025:8025"


def test_the_small_compose_file_closes_what_it_can() -> None:
    (service,) = compose("compose.yaml")["services"].values()
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]
    assert service["ports"] == [*MAIL, PAGE]
    assert compose("compose.full.yaml")["services"]["serve"]["ports"] == [*MAIL, PAGE]


def test_every_file_and_name_in_the_compose_files_is_there() -> None:
    for name in ("compose.yaml", "compose.full.yaml"):
        described = compose(name)
        for service in described["services"].values():
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                if source.startswith("."):
                    assert (ROOT / "deploy" / source).exists(), f"{name}: {source}"
                else:
                    assert source in described["volumes"], f"{name}: {source}"
            assert set(service.get("secrets", [])) <= set(described.get("secrets", {}))
            assert set(service.get("depends_on", {})) <= set(described["services"])


@pytest.mark.parametrize("name", ["compose.yaml", "compose.full.yaml"])
def test_every_option_in_the_compose_files_exists(name: str) -> None:
    """Those in comments, too."""
    text = (ROOT / "deploy" / name).read_text(encoding="utf-8")
    found = re.findall(r"PRINTPOST_([A-Z]+)__([A-Z_]+)", text)
    assert found or name == "compose.yaml"
    known = Settings().model_dump()
    assert {(section, key) for section, key in found if key.lower() not in known[section.lower()]} == set()


def test_prometheus_of_the_parts_can_be_meant_and_asks_them(tmp_path: Path) -> None:
    services = compose("compose.full.yaml")["services"]
    places = [volume.split(":") for volume in services["prometheus"]["volumes"] if volume.startswith("./")]
    for source, inside, _ in places:
        copy = tmp_path / inside.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "deploy" / source, copy)
    (configuration,) = (word.partition("=")[2] for word in services["prometheus"]["command"] if "config.file" in word)
    said = call(program("promtool"), "check", "config", str(tmp_path / configuration.lstrip("/")))
    assert "rules found" in said
    targets = re.findall(r'targets: \["(\w+):(\d+)"\]', (tmp_path / configuration.lstrip("/")).read_text())
    for name, port in targets:
        assert f"0.0.0.0:{port}" in services[name]["environment"].values()
    assert [name for name, _ in targets] == ["serve", "bridge"]


@pytest.fixture
def secrets(folder: Path) -> Path:
    """The folder of passwords, as the compose file says to make it."""
    for name in ("appliance", "bridge"):
        (folder / name).write_text(f"the password of the {name}\n")
        (folder / name).chmod(0o644)
    return folder


def service_of(described: Mapping[str, Any], secrets: Path) -> Service:
    volumes = {}
    for volume in described["volumes"]:
        source, inside = volume.split(":")[:2]
        volumes[inside] = str(ROOT / "deploy" / source) if source.startswith(".") else source
    for name in described.get("secrets", []):
        volumes[f"/run/secrets/{name}"] = str(secrets / name)
    return Service(
        command=described.get("command"),
        entrypoint=described.get("entrypoint"),
        user=described.get("user", ""),
        environment=described.get("environment", {}),
        volumes=volumes,
    )


def people_are_in_the_directory(serve: Running, bridge: Running) -> None:
    done(serve, "printpost", "user", "add", "ada", "--mail", "ada@example.com")
    users = json.loads(done(serve, "printpost", "user", "list", "--json"))
    assert sorted(user["name"] for user in users) == ["ada", "admin"]
    _, said = bridge.execute("printpost", "user", "list", "--json")  # with what the bridge may see
    assert "ada" not in said, said
    assert "phaser360" in done(bridge, "printpost", "printer", "list")
    assert bridge.execute("cat", f"{DATA}/tls/key.pem")[0] != 0


def trouble_is_told(serve: Running) -> None:
    """A damaged document: its sender reads of it here; Service is elsewhere, and without a smarthost his mail waits."""
    page, password = welcomed(serve)
    assert page == f"https://{HOSTNAME}:8025/"
    job = number_of(inside(serve, "doors", password, f"admin@{HOSTNAME}", f"phaser360@{HOSTNAME}"))
    until(lambda: state(serve, job) == "aborted")
    until(lambda: "phaser360" in inside(serve, "subjects", password))
    metrics = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9125/metrics').read().decode())"
    until(lambda: "printpost_outgoing_mails 1.0" in done(serve, "python3", "-c", metrics))
    _, said = serve.execute("printpost", "doctor", "--json")
    wrong = {one["subject"] for one in json.loads(said) if one["level"] in ("warning", "error")}
    assert wrong <= OF_THIS_MACHINE | {"bridge", "notices", "relay"}, said  # as it is: networks apart, no smarthost


def test_the_parts_print_a_page_as_two_users(engine: Engine, secrets: Path) -> None:
    services = {
        name: service_of(described, secrets)
        for name, described in compose("compose.full.yaml")["services"].items()
        if described["image"] == "printpost"
    }
    with engine.start(services["share"]) as share:
        assert share.wait() == 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(engine.start(services["directory"]))
        serve = stack.enter_context(engine.start(services["serve"]))
        until(lambda: healthy(serve, "--role", "serve"))
        bridge = stack.enter_context(engine.start(services["bridge"]))
        until(lambda: healthy(bridge, "--role", "bridge"))
        users = [one.execute("id", "-u")[1].strip() for one in (serve, bridge)]
        assert users == [USER, "65533"]
        assert "password" not in bridge.execute("cat", "/run/secrets/appliance")[1]

        assert "bridge does not answer" in serve.execute("printpost", "healthcheck")[1]  # it lives elsewhere

        done(serve, "printpost", *PRINTER, "--service-person", "service@elsewhere.example")
        people_are_in_the_directory(serve, bridge)
        # The virtual printer lives where the bridge finds it, in its network.
        paper = "/tmp/paper"
        printer = f"exec printpost virtual-printer --listen 127.0.0.1:9100 --output {paper} >/tmp/printer.log 2>&1 &"
        done(bridge, "sh", "-c", printer)
        until(lambda: bridge.execute("test", "-d", paper)[0] == 0)

        sample = done(serve, "python3", "-c", "import appliance; print(*appliance.__path__)").strip() + "/sample.pdf"
        said = done(serve, "printpost", "send", sample, "--to", f"phaser360@{HOSTNAME}", "--from", "ada@example.com")
        until(lambda: state(serve, number_of(said)) == "completed", 90)
        assert "job" in done(bridge, "ls", paper)
        trouble_is_told(serve)
        assert bridge.execute("sh", "-c", f"! touch {DATA}/appliance.lock")[0] == 0  # each has its own lock
        for one in (serve, bridge):
            one.signal(signal.SIGTERM)
            assert one.wait() == 0, one.said()
