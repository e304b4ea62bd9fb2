"""From maildrop to paper: everything that touches a printer or opens a hostile document.

The bridge dials out and listens to nobody (but its metrics).  It meets the appliance only in the store, so mail keeps
arriving while paper is out.  One task per *device address*, because two entries may name one printer:

1. *Claim* the oldest waiting job of the maildrop under a lease on the device address.
2. *Walk* the stored octets and stream each printable part out of them; the octets say what it is, not the Content-Type.
3. *Decide* by the trust fixed at receipt: pass as it is, filter the printer commands, or render anew.
4. *Convert* by the shortest route into a language that the printer speaks.  A document is opened only by a confined
   child: no network, an empty folder, an empty environment, limits on time, memory and output.
5. *Spool* all of it, and only then connect: a printer cuts a job whose sender pauses, and prints the stump.
6. *Send* over raw port 9100, watch the back channel, and end the job with the best proof of delivery there is.  What a
   printer that speaks PJL says meanwhile (no paper, ready again, job ended) is told at once.

A connection that was refused or never came about is tried again, in order.  One that broke after octets may have gone
is tried again only if TCP says that none was acknowledged; else the job is uncertain, and a person decides.

Wishes (cancel, hold, pause) lie in the store and are heeded at the ring.  Canceling breaks off what is being sent or
converted: a printer that speaks PJL is told in order that the job is over, any other is reset.

`virtual.py` is a printer to try all this on: it renders what it gets and can be told to misbehave.
"""
