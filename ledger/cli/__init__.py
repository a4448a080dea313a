"""The command line of `python -m ledger`: arguments in, tables out."""
