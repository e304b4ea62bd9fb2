"""`/api/v1/printers/{name}/addresses`: addresses to give away.

Security: whoever may set the printer makes, sees and revokes them; the answer that makes one is the only one that has
its token.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from pydantic import BaseModel, Field

from appliance.capabilities import MOST_JOBS, Capabilities, DescribedCapability, described, until
from appliance.web.addresses import Number
from appliance.web.body import Body, part
from appliance.web.login import Me
from appliance.web.problem import WRONG_BODY, problems
from appliance.web.site import Here

router = part("/printers/{name}/addresses", "addresses", 403, 404, 422)


class NewAddress(Body):
    """An address to be made."""

    note: str = Field("", description="what it is for")
    expires: str = Field("", description="a period like 12h, 7d or 4w, or a date (RFC 3339); empty: never")
    max_jobs: int = Field(0, ge=0, le=MOST_JOBS, description="0: any number")
    max_pages: int = Field(0, ge=0, le=MOST_JOBS, description="0: any number")


class GivenAddress(BaseModel):
    """An address that was made.  It is told only now; whoever knows it may print."""

    id: int
    address: str


@router.get("")
async def list_addresses(person: Me, site: Here, name: str) -> Sequence[DescribedCapability]:
    """Addresses of the printer that were given away, newest first; those that ended are listed for 90 days."""
    now = time.time()
    return [described(one, now) for one in await Capabilities(site.store, site.directory).listed(person, name)]


@router.post("", status_code=201, responses=problems(*WRONG_BODY))
async def make_address(person: Me, site: Here, name: str, new: NewAddress) -> GivenAddress:
    """Make an address to give away."""
    given = await Capabilities(site.store, site.directory).make(
        person,
        name,
        note=new.note,
        expires_at=until(new.expires, time.time()),
        max_jobs=new.max_jobs,
        max_pages=new.max_pages,
    )
    return GivenAddress(id=given.capability.id, address=given.address)


@router.delete("/{number}", status_code=204)
async def revoke_address(person: Me, site: Here, name: str, number: Number) -> None:
    """Revoke it: nobody prints by it any more.  To revoke it twice does no harm."""
    await Capabilities(site.store, site.directory).revoke(person, number, name)
