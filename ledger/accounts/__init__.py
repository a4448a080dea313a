"""Accounts: changes, audit, marks, affinity, budgets."""
