"""The Dagster side: assets, checks, jobs, schedules and resources. No logic of its own."""
