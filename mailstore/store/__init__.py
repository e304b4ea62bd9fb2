"""Everything at rest but the accounts: `contract` says what, `sql` is the embedded engine."""
