"""A language-model client: requests, answers written down once paid for, budgets, rate limits, batches."""
