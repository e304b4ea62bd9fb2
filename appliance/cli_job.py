"""`printpost job ...`: what came in, where it is, and what became of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import typer

from appliance import described_job, job_file, shell
from appliance.desk import COMMAND_LINE, Desk
from appliance.job_file import JobFile
from appliance.moving import Moves
from appliance.releasing import by_code
from appliance.web.paper import EVIDENCE, go_on, is_in_doubt, known_in_doubt, taken, under_way
from appliance.web.words import TRUST, document_in_words, sender_in_words
from mailstore.config import Settings
from mailstore.directory.contract import Directory
from mailstore.directory.records import Printer
from mailstore.failure import Failure
from mailstore.header import clean
from mailstore.job import REASONS, Job, JobState
from mailstore.store.contract import Store
from mailstore.store.following import Progress

app = typer.Typer(no_args_is_help=True, help="See jobs, stop them, print them again.")

T = TypeVar("T")

Number = Annotated[int, typer.Argument(help="The job's number.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(
    context: typer.Context,
    printer: Annotated[str, typer.Option("--printer", help="Only this printer's.")] = "",
    state: Annotated[
        list[JobState] | None, typer.Option("--state", help="Only jobs in this state; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """Show jobs, the newest first."""

    async def work() -> tuple[Sequence[Job], Mapping[int, Progress]]:
        async with shell.opened_store(context.obj.settings()) as store:
            states = {one.value for one in state or ()}
            found = await store.jobs(printer=printer.lower(), states=states, limit=limit)
            return found, await job_file.progresses(store, found)

    jobs, far = shell.run(work())
    if as_json:
        shell.show_json([described_job.job(job, far.get(job.id)) for job in jobs])
        return
    rows = [
        (
            *(j.id, j.printer, j.state.value, "; ".join(filter(None, (plain(j), on_its_way(j, far.get(j.id)))))),
            *(j.sender or "<>", j.name, shell.clock(j.received_at)),
        )
        for j in jobs
    ]
    shell.show_table(("JOB", "PRINTER", "STATE", "WHY", "FROM", "NAME", "RECEIVED"), rows, "There are no jobs.")


@app.command()
def show(context: typer.Context, number: Number, as_json: Json = False) -> None:
    """Show one job and what happened to it."""

    settings = context.obj.settings()

    async def work() -> JobFile | None:
        async with shell.opened_store(settings) as store:
            job = await store.job(number)
            if job is None:
                return None
            shown = await store.thumbnails(number)
            printer = None if job.state.ended else await _printer(settings, job.printer)
            return await job_file.read(store, job, shown, printer, own=False, operated=True)

    file = shell.run(work())
    if file is None:
        shell.fail(f"there is no job {number}; printpost job list shows those there are", os.EX_NOINPUT)
    if as_json:
        shell.show_json(described_job.job_file(file))
        return
    job = file.job
    evidence = EVIDENCE[job.delivery_proof] if job.state is JobState.COMPLETED else None
    shell.show_fields(
        [
            ("job", job.id), ("printer", job.printer), ("state", job.state.value), ("why", plain(job)),
            ("progress", how_far(job, file.progress)), ("you can", choices(job, file.progress)),
            ("release code", file.code), ("expires", shell.clock(file.expires_at)),
            ("from", job.sender or "<>"), ("sender", sender_in_words(job)), ("trust", TRUST.get(job.trust, job.trust)),
            ("to", job.recipient), ("name", job.name), ("octets", job.octets), ("documents", job.documents),
            ("pages", job.pages or ""), ("attempts", job.attempts), ("delivery proof", job.delivery_proof.value),
            ("that proves", evidence.shown if evidence else ""), ("it leaves open", evidence.open if evidence else ""),
            ("received", shell.clock(job.received_at)), ("ended", shell.clock(job.completed_at)),
            ("kept until", shell.clock(file.kept_until)),
        ]
    )  # fmt: skip
    for one in file.documents:
        typer.echo(f"  document {one.number}, {document_in_words(one, job.state)}")
    for event in file.trace:
        typer.echo(f"  {shell.clock(event.at)}  {clean(event.text, 2000)}")


def plain(job: Job) -> str:
    """The reasons in words, with what more is known."""
    words = "; ".join(REASONS.get(reason, reason) for reason in job.reasons)
    return f"{words}: {job.detail}" if words and job.detail else words or job.detail


def how_far(job: Job, progress: Progress | None) -> str:
    """What the printer confirmed of a job that it has some of, or of one in doubt."""
    return known_in_doubt(progress).rstrip(".") if is_in_doubt(job) else on_its_way(job, progress)


def on_its_way(job: Job, progress: Progress | None) -> str:
    """How much the printer has; "" of one in doubt, whose detail says it."""
    return taken(progress) if progress is not None and under_way(job) and not is_in_doubt(job) else ""


def choices(job: Job, progress: Progress | None) -> str:
    """What somebody can decide of a job in doubt."""
    if not is_in_doubt(job):
        return ""
    resume = f"job retry --resume {job.id} ({go_on(progress).lower()}), " if go_on(progress) else ""
    return (
        f"job retry {job.id} (print all of it again under a banner), {resume}"
        f"job printed {job.id} (count it as printed), job cancel {job.id}"
    )


async def _printer(settings: Settings, name: str) -> Printer | None:
    """The printer's entry; None if there is none, or if nobody tells it now: a job is shown all the same."""
    from mailstore.directory.opening import connect

    try:
        async with contextlib.AsyncExitStack() as stack:
            directory = connect(settings, "appliance")
            stack.push_async_callback(directory.close)
            return await directory.printer(name)
    except Failure:
        return None


@app.command()
def cancel(context: typer.Context, number: Number) -> None:
    """Stop a job, whatever it is doing."""
    _wish(context, lambda desk: desk.cancel(COMMAND_LINE, number))


@app.command()
def hold(context: typer.Context, number: Number) -> None:
    """Let a waiting job wait until it is released."""
    _wish(context, lambda desk: desk.hold(COMMAND_LINE, number))


@app.command()
def release(
    context: typer.Context,
    number: Annotated[int | None, typer.Argument(help="The job's number.", show_default=False)] = None,
    code: Annotated[str, typer.Option("--code", metavar="DIGITS", help="The code that its sender was told.")] = "",
) -> None:
    """Let a held job go on: by its number, or by its code."""
    if (number is None) is not bool(code):
        shell.fail("say which job: by its number, or by --code DIGITS", 2)

    async def work(desk: Desk, store: Store, _: Directory) -> int:
        if number is None:
            return (await by_code(store, code, COMMAND_LINE.name)).id
        await desk.unhold(COMMAND_LINE, number)
        return number

    typer.echo(f"Job {_work(context, work)} is to be printed.")


@app.command()
def move(
    context: typer.Context,
    number: Number,
    printer: Annotated[str, typer.Argument(help="Where it is to print.")],
) -> None:
    """Let a job that waits, or is in doubt, print on another printer."""

    async def work(desk: Desk, store: Store, directory: Directory) -> str:
        return (await Moves(store, directory, desk).move(COMMAND_LINE, number, printer)).name

    typer.echo(f"Job {number} is at {_work(context, work)} now.")


@app.command()
def retry(
    context: typer.Context,
    number: Number,
    resume: Annotated[bool, typer.Option("--resume", help="Of one in doubt: only what was not confirmed.")] = False,
) -> None:
    """Print again: a job in doubt under a banner that says so, an ended one as a new job while its octets are kept."""

    async def work(desk: Desk) -> int:
        job = (await desk.job(COMMAND_LINE, number)).job
        if job.state.ended and not resume:
            return await desk.print_again(COMMAND_LINE, number)
        await desk.decide(COMMAND_LINE, number, printed=False, resume=resume)
        return number

    typer.echo(f"Job {_wish(context, work)} is to be printed.")


@app.command()
def printed(context: typer.Context, number: Number) -> None:
    """Say of a job in doubt that it was printed."""
    _wish(context, lambda desk: desk.decide(COMMAND_LINE, number, printed=True))


def _wish(context: typer.Context, wish: Callable[[Desk], Coroutine[Any, Any, T]]) -> T:
    return _work(context, lambda desk, _, __: wish(desk))


def _work(context: typer.Context, wish: Callable[[Desk, Store, Directory], Coroutine[Any, Any, T]]) -> T:
    settings = context.obj.settings()

    async def work() -> T:
        async with shell.opened(settings) as (store, directory):
            return await wish(Desk(settings, store, directory), store, directory)

    return shell.run(work())
