"""One suite per Protocol, run over every engine."""
