"""Tests that end a process from inside."""
