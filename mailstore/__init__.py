"""What is at rest: messages, maildrops, jobs, leases; the directory of accounts; the configuration.

The appliance and the bridge are separate processes that meet only here.  Neither imports the other; both import this
package, and this package imports neither.  It also holds the pure code that both sides need and that only looks at
bytes: addresses, the MIME walk, the sniffing of document formats.

**A message at rest** is the octets as received, CRLF and all, under our trace fields.  What differs from recipient to
recipient (Return-Path, Delivered-To) lies with the maildrop entry and counts in the sizes that POP3 tells.

**A job's instants.**  Each is a commit; the tests kill the process on both sides of each one.

1. *Accepted*: octets durable, then the rows committed, then "250".  Before it nothing happened; after it nothing is
   lost.
2. *Claimed*: the bridge holds a lease on the device address, with a fencing token.  It needs no sync of its own.
3. *Sending*: after connect and before the first octet, "attempt k, document d" is durable.
4. *Ended*: the end state is durable; in the same transaction, and only then, the maildrop entry goes.

A process that dies between 3 and 4 leaves an *uncertain* job: nobody can know what the printer got.  It is never
printed again in silence, and never lost in silence (`mailstore.job`).
"""
