"""What a running proxy keeps of its accounts: credentials, their refresh, quota, and the ledger in step."""
