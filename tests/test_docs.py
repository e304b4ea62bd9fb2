"""What is not documented does not exist, and what is documented must."""

from __future__ import annotations

import functools
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer
import typer.main
from typer._click import Command, exceptions  # Typer's own copy of Click, of which it exports less
from typer.core import TyperGroup

from appliance import cli, guessing, policy, tls
from appliance.smtp.limits import Limits
from appliance.web import login
from mailstore import config
from mailstore.directory.records import Language, Person, WhenUncertain
from mailstore.job import DeliveryProof, JobState
from tests import make_reference

ROOT = Path(__file__).parent.parent
TEXTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
each_text = pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))


def said(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [body for _, body in found]


def in_code(text: str) -> list[str]:
    """What stands between backticks in running text."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("name", make_reference.PAGES)
def test_the_reference_is_what_the_code_says(name: str) -> None:
    written = (make_reference.FOLDER / name).read_text(encoding="utf-8")
    assert written == make_reference.PAGES[name](), "run: python -m tests.make_reference"


# -- commands

COMMANDS = ("printpost", ".venv/bin/printpost")


def command_lines(text: str) -> list[list[str]]:
    """The words behind `printpost` in every line that a reader is to type."""
    found = []
    for block in blocks(text, "console"):
        for line in re.findall(r"^ *[$#] (.+)$", block.replace("\\\n", ""), re.MULTILINE):
            lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
            lexer.whitespace_split = True
            words = list(lexer)
            while words:
                end = next((at for at, word in enumerate(words) if set(word) <= set("&|;<>")), len(words))
                found.append(words[:end])
                words = words[end + 1 :]
    return [arguments for words in found if (arguments := own_arguments(words)) is not None]


def own_arguments(words: list[str]) -> list[str] | None:
    if words and words[0] in COMMANDS:
        return words[1:]
    if words and words[0] == "docker":  # `exec SERVICE printpost COMMAND` and `run IMAGE COMMAND`
        for at, word in enumerate(words[:-1]):
            if word == "printpost" and words[at + 1] in known():
                return words[at + 1 :]
    return None


TOP = typer.main.get_command(cli.app)


def known() -> set[str]:
    assert isinstance(TOP, TyperGroup)
    return set(TOP.commands)


def parse(arguments: list[str], *, whole: bool) -> None:
    """As the program would.  Raises `exceptions.UsageError`; what is missing is one only if the line is `whole`."""
    command, context = TOP, None
    try:
        while isinstance(command, TyperGroup):
            context = command.make_context(command.name, arguments, parent=context)
            arguments = [*context._protected_args, *context.args]
            name, found, arguments = command.resolve_command(context, arguments)
            assert found is not None, name
            command = found
        command.make_context(command.name, arguments, parent=context)
    except exceptions.MissingParameter:
        if whole:
            raise


@each_text
def test_lines_to_type_are_understood(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in command_lines(text.read_text(encoding="utf-8")):
        if arguments[0] == "send":
            for file in arguments[1 : next(at for at, word in enumerate(arguments) if word.startswith("--"))]:
                Path(file).touch()
        try:
            parse(arguments, whole=True)
        except (exceptions.UsageError, typer.Exit) as error:
            pytest.fail(f"printpost {shlex.join(arguments)}: {error}")


@each_text
def test_commands_in_the_texts_exist(text: Path) -> None:
    for code in in_code(text.read_text(encoding="utf-8")):
        words = shlex.split(code.replace("'", "")) if code.startswith(COMMANDS) else []
        if len(words) < 2 or words[0] not in COMMANDS or words[1].startswith("["):
            continue
        words = [word.strip("[]") for word in words[1:] if word != "..."]
        try:
            parse(words, whole=False)
        except exceptions.NoArgsIsHelpError:
            continue  # a group, such as `printpost printer`
        except exceptions.UsageError as error:
            pytest.fail(f"printpost {shlex.join(words)}: {error}")


@each_text
def test_options_in_the_texts_exist(text: Path) -> None:
    found: set[str] = {"--help"}

    def visit(command: Command) -> None:
        found.update(option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts))
        for child in getattr(command, "commands", {}).values():
            visit(child)

    visit(TOP)
    foreign = {"--quick", "--cacert", "--fail-with-body", "--netrc"}  # of our benchmarks, and of curl
    for code in in_code(text.read_text(encoding="utf-8")):
        if code.startswith("--"):
            assert code.split()[0].partition("=")[0] in found | foreign, code


# -- configuration


@each_text
def test_configurations_are_good(text: Path) -> None:
    for block in blocks(text.read_text(encoding="utf-8"), "toml"):
        config.Settings(**tomllib.loads(block))


@each_text
def test_settings_in_the_texts_exist(text: Path) -> None:
    words = text.read_text(encoding="utf-8")
    named = re.findall(r"`\[([a-z0-9]+)\](?: ([a-z0-9_]+))?", words)
    named += [
        (section.lower(), key.lower()) for section, key in re.findall(r"PRINTPOST_([A-Z0-9]+)__([A-Z0-9_]+)", words)
    ]
    for section, key in named:
        assert section in config.Settings.model_fields, f"[{section}]"
        model = config.Settings.model_fields[section].annotation
        keys = {field.alias or name for name, field in model.model_fields.items()}  # type: ignore[union-attr]
        assert key in {"", *keys}, f"[{section}] {key}"


# -- links, pictures and metrics


def anchors(text: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", text.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_text
def test_links_lead_somewhere(text: Path) -> None:
    words = text.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", words) + re.findall(r"(?:src|srcset|href)=\"([^\"]+)\"", words)
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (text.parent / path) if path else text
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {(ROOT / target).resolve() for target in re.findall(r"\]\(([^)#\s]+)", said("README.md"))}
    assert {text for text in TEXTS if text.name != "README.md"} <= linked


@functools.cache
def metric_names() -> set[str]:
    return {family.name for family in make_reference.families()}


@each_text
def test_metrics_in_the_texts_exist(text: Path) -> None:
    known_names = metric_names()
    for name, star in re.findall(r"\b(printpost_[a-z0-9_]+)(\*?)", text.read_text(encoding="utf-8")):
        bare = re.sub(r"_(total|bucket|sum|count|created)$", "", name)
        assert star or name == "printpost_data" or {name, bare} & known_names, name  # that is a container's volume


# -- tables and figures


def first_cells(name: str, heading: str) -> set[str]:
    """What stands in backticks in the first cells of the table below `heading`."""
    table = said(name).partition(heading)[2].partition("\n\n")[0]
    return {word for line in table.splitlines()[2:] for word in re.findall(r"`([^`]+)`", line.split("|")[1])}


def test_every_state_of_a_job_is_explained() -> None:
    assert first_cells("docs/jobs.md", "| state | meaning |") == set(JobState)


def test_every_language_is_explained() -> None:
    assert first_cells("docs/first-printer.md", "| `--language` | for |") | {"--language"} == {*Language, "--language"}


def test_every_kind_of_rule_is_explained() -> None:
    rules = first_cells("docs/who-may-print.md", "| rule | who it matches |")
    assert {policy.parse_rule(rule).kind for rule in rules} == set(policy.Kind)


def test_what_becomes_of_uncertain_jobs_is_explained() -> None:
    text = said("docs/jobs.md")
    assert all(f"`{what}`" in text for what in WhenUncertain)


def test_proofs_that_are_given_are_explained() -> None:
    given = set(DeliveryProof) - {DeliveryProof.INTERPRETED, DeliveryProof.IDLE_PAGES}  # by nobody yet
    text = said("docs/jobs.md").partition("## How sure")[2].partition("\n## ")[0]
    assert all(f"`{proof}`" in text for proof in given)


def test_every_listener_is_told() -> None:
    settings = config.Settings.model_fields
    text = said("docs/running.md")
    for section in settings.values():
        fields = getattr(section.annotation, "model_fields", {})
        for key in {"listen", "metrics_listen"} & set(fields):
            assert fields[key].default.rpartition(":")[2] in text


LIMITS = Limits()


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("docs/people.md", f"{LIMITS.postmaster_octets >> 10} KiB"),
        ("docs/people.md", f"{LIMITS.postmaster_hourly} mails an hour"),
        ("docs/people.md", f"{Person(name='', addresses=()).quota >> 20} MiB"),
        ("docs/tls.md", f"after {tls.LIFETIME.days} days"),
        ("docs/tls.md", f"{tls.RENEWAL / 86400:.0f} days before"),
        ("docs/page.md", {12 * 3600.0: "twelve hours"}.get(login.SESSION_SECONDS, "?")),
        ("docs/page.md", {10: "ten wrong passwords"}.get(guessing.FREE, "?")),
        ("docs/mail-from-outside.md", f"{config.Settings().smtp.max_size_outside >> 20} MiB"),
    ],
)
def test_figures_are_those_of_the_code(name: str, figure: str) -> None:
    assert figure in re.sub(r"\s+", " ", said(name))
