"""The whole system as people meet it: Debian's Chromium, and real mail beside it."""
