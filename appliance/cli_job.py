"""`printpost job ...`: what came in, where it is, and what became of it."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from appliance import shell
from mailstore.job import REASONS, Job, JobState
from mailstore.store.contract import JobEvent

app = typer.Typer(no_args_is_help=True, help="See jobs.")

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
        shell.show_json([described(job) for job in jobs])
        return
    rows = [
        (j.id, j.printer, j.state.value, plain(j), j.sender or "<>", j.name, shell.clock(j.received_at)) for j in jobs
    ]
    shell.show_table(("JOB", "PRINTER", "STATE", "WHY", "FROM", "NAME", "RECEIVED"), rows, "There are no jobs.")


@app.command()
def show(
    context: typer.Context, number: Annotated[int, typer.Argument(help="The job's number.")], as_json: Json = False
) -> None:
    """Show one job and what happened to it."""

    async def work() -> tuple[Job | None, list[JobEvent]]:
        async with shell.opened_store(context.obj.settings()) as store:
            return await store.job(number), list(await store.trace(number))

    job, trace = shell.run(work())
    if job is None:
        shell.fail(f"there is no job {number}; printpost job list shows those there are", os.EX_NOINPUT)
    if as_json:
        events = [{"at": shell.moment(event.at), "text": event.text} for event in trace]
        shell.show_json(
            described(job) | {"detail": job.detail, "pages": job.pages, "trust": job.trust, "trace": events}
        )
        return
    shell.show_fields(
        [
            ("job", job.id), ("printer", job.printer), ("state", job.state.value), ("why", plain(job)),
            ("from", job.sender or "<>"), ("name", job.name), ("octets", job.octets), ("documents", job.documents),
            ("pages", job.pages or ""), ("attempts", job.attempts), ("delivery proof", job.delivery_proof.value),
            ("received", shell.clock(job.received_at)), ("ended", shell.clock(job.completed_at)),
        ]
    )  # fmt: skip
    for event in trace:
        typer.echo(f"  {shell.clock(event.at)}  {event.text}")


def plain(job: Job) -> str:
    """The reasons in words, with what more is known."""
    words = "; ".join(REASONS.get(reason, reason) for reason in job.reasons)
    return f"{words}: {job.detail}" if words and job.detail else words or job.detail


def described(job: Job) -> dict[str, Any]:
    """A job for scripts: the fields that the design promises."""
    return {
        "id": job.id,
        "printer": job.printer,
        "state": job.state.value,
        "reasons": list(job.reasons),
        "sender": job.sender,
        "name": job.name,
        "octets": job.octets,
        "documents": job.documents,
        "attempts": job.attempts,
        "delivery_proof": job.delivery_proof.value,
        "received_at": shell.moment(job.received_at),
        "completed_at": shell.moment(job.completed_at),
    }
