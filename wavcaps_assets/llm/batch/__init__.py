"""Requests through the Batch API of OpenAI: half the price, answered within a day."""
