"""`printpost job ...`: what came in, where it is, and what became of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import typer

from appliance import described, job_file, shell
from appliance.desk import COMMAND_LINE, Desk
from appliance.job_file import JobFile
from appliance.web.words import TRUST, document_in_words, sender_in_words
from mailstore.job import REASONS, Job, JobState

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

    async def work() -> list[Job]:
        async with shell.opened_store(context.obj.settings()) as store:
            states = {one.value for one in state or ()}
            return list(await store.jobs(printer=printer.lower(), states=states, limit=limit))

    jobs = shell.run(work())
    if as_json:
        shell.show_json([described.job(job) for job in jobs])
        return
    rows = [
        (j.id, j.printer, j.state.value, plain(j), j.sender or "<>", j.name, shell.clock(j.received_at)) for j in jobs
    ]
    shell.show_table(("JOB", "PRINTER", "STATE", "WHY", "FROM", "NAME", "RECEIVED"), rows, "There are no jobs.")


@app.command()
def show(context: typer.Context, number: Number, as_json: Json = False) -> None:
    """Show one job and what happened to it."""

    async def work() -> JobFile | None:
        async with shell.opened_store(context.obj.settings()) as store:
            job = await store.job(number)
            shown = await store.thumbnails(number)
            return await job_file.read(store, job, shown, own=False, operated=True) if job else None

    file = shell.run(work())
    if file is None:
        shell.fail(f"there is no job {number}; printpost job list shows those there are", os.EX_NOINPUT)
    if as_json:
        shell.show_json(described.job_file(file))
        return
    job = file.job
    shell.show_fields(
        [
            ("job", job.id), ("printer", job.printer), ("state", job.state.value), ("why", plain(job)),
            ("from", job.sender or "<>"), ("sender", sender_in_words(job)), ("trust", TRUST.get(job.trust, job.trust)),
            ("to", job.recipient), ("name", job.name), ("octets", job.octets), ("documents", job.documents),
            ("pages", job.pages or ""), ("attempts", job.attempts), ("delivery proof", job.delivery_proof.value),
            ("received", shell.clock(job.received_at)), ("ended", shell.clock(job.completed_at)),
            ("kept until", shell.clock(file.kept_until)),
        ]
    )  # fmt: skip
    for one in file.documents:
        typer.echo(f"  document {one.number}, {document_in_words(one, job.state)}")
    for event in file.trace:
        typer.echo(f"  {shell.clock(event.at)}  {event.text}")


def plain(job: Job) -> str:
    """The reasons in words, with what more is known."""
    words = "; ".join(REASONS.get(reason, reason) for reason in job.reasons)
    return f"{words}: {job.detail}" if words and job.detail else words or job.detail


@app.command()
def cancel(context: typer.Context, number: Number) -> None:
    """Stop a job, whatever it is doing."""
    _wish(context, lambda desk: desk.cancel(COMMAND_LINE, number))


@app.command()
def hold(context: typer.Context, number: Number) -> None:
    """Let a waiting job wait until it is released."""
    _wish(context, lambda desk: desk.hold(COMMAND_LINE, number))


@app.command()
def release(context: typer.Context, number: Number) -> None:
    """Let a held job go on."""
    _wish(context, lambda desk: desk.unhold(COMMAND_LINE, number))


@app.command()
def retry(context: typer.Context, number: Number) -> None:
    """Print again: a job in doubt under a banner that says so, an ended one as a new job while its octets are kept."""

    async def work(desk: Desk) -> int:
        job = (await desk.job(COMMAND_LINE, number)).job
        if job.state.ended:
            return await desk.print_again(COMMAND_LINE, number)
        await desk.decide(COMMAND_LINE, number, printed=False)
        return number

    typer.echo(f"Job {_wish(context, work)} is to be printed.")


@app.command()
def printed(context: typer.Context, number: Number) -> None:
    """Say of a job in doubt that it was printed."""
    _wish(context, lambda desk: desk.decide(COMMAND_LINE, number, printed=True))


def _wish(context: typer.Context, wish: Callable[[Desk], Coroutine[Any, Any, T]]) -> T:
    settings = context.obj.settings()

    async def work() -> T:
        async with shell.opened(settings) as (store, directory):
            return await wish(Desk(settings, store, directory))

    return shell.run(work())
