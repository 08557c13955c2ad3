"""The whole lane of jobs, from the crawl to the report, run one after another in one process."""
