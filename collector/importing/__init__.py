"""What other programs have written of past requests, taken into the ledger once."""
