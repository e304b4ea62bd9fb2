"""Hours in which a printer is left alone, because somebody switches it off then.  No I/O; the clock is the caller's.

A span is written `22:00-06:00`, for some days only `sat,sun 00:00-24:00`: days are those on which it begins, and one
that ends before it begins ends on the next day.
"""

from __future__ import annotations
