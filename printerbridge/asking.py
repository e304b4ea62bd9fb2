"""One printer's SNMP agent and what is asked of it: a look of five objects, and now and then all that it has left.

Security: see `printerbridge.snmp` and `printerbridge.mib`; here only how much is asked of an agent, whatever it says.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from mailstore.report import Supply, Tray
from printerbridge import mib
from printerbridge.mib import Look
from printerbridge.snmp import Agent, NoAnswer
from printerbridge.snmp_message import Value

DETAILS_SECONDS = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What changes slowly."""

    model: str = ""
    serial: str = ""
    supplies: tuple[Supply, ...] = ()
    trays: tuple[Tray, ...] = ()


class Questions:
    """To one printer.  Remembers where in the agent's tables the printer stands."""

    __slots__ = ("_agent", "_device", "_searched")

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._device = 1
        self._searched = False

    def forget(self) -> None:
        """It may be another one now: what is remembered of it is asked again."""
        self._agent.forget()
        self._searched = False

    async def look(self, seconds: float = 0.0) -> Look:
        """How it fares, within `seconds`, else the agent's.  Raises `NoAnswer`."""
        try:
            async with asyncio.timeout(seconds or self._agent.seconds):
                values = await self._status(seconds)
        except TimeoutError:
            raise NoAnswer("it takes too long to say how it fares") from None
        if not mib.tells(values):
            raise NoAnswer("it answers SNMP, but not as a printer does")
        return mib.look(values)

    async def _status(self, seconds: float) -> dict[str, Value | None]:
        asked = mib.status(self._device)
        values = await self._agent.get(asked, seconds=seconds)
        if values[asked[1]] is not None or self._searched:
            return values
        # A file server, say, with a printer: its processor and its disks stand before it.
        found = await self._agent.walk(mib.PRINTERS, 1, seconds=seconds)
        self._searched = True
        if not found or mib.device_of(found[0][0]) == self._device:
            return values
        self._device = mib.device_of(found[0][0])
        return await self._agent.get(mib.status(self._device), seconds=seconds)

    async def details(self) -> Details | None:
        """None if it does not answer in good time."""
        with contextlib.suppress(TimeoutError, NoAnswer):
            async with asyncio.timeout(DETAILS_SECONDS):
                model, serial = mib.model(await self._agent.get(mib.model_objects(self._device)))
                supplies = await self._rows(mib.SUPPLIES)
                asked = [oid for row in supplies for oid in mib.supply_objects(row)]
                values = await self._values(asked)
                values |= await self._values(mib.colorant_objects(supplies, values))
                trays = await self._rows(mib.TRAYS)
                values |= await self._values([oid for row in trays for oid in mib.tray_objects(row)])
                return Details(
                    model=model,
                    serial=serial,
                    supplies=mib.supplies(supplies, values),
                    trays=mib.trays(trays, values),
                )
        return None

    async def _rows(self, column: str) -> list[str]:
        column = f"{column}.{self._device}"
        found = await self._agent.walk(column, mib.ROWS)
        return [f"{self._device}.{row}" for row in mib.rows((oid for oid, _ in found), column)]

    async def _values(self, asked: list[str]) -> dict[str, Value | None]:
        return await self._agent.get(asked) if asked else {}
