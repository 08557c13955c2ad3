"""What does not count for the version of an asset: code that carries, keeps and shows its results.

A module is here if a change of it should not make anybody crawl, caption or train again. A fault in it that
did change results is a reason to materialize by hand.
"""

from __future__ import annotations

from collections.abc import Mapping

PLUMBING: Mapping[str, str] = {
    "wavcaps_assets.clock": "the time",
    "wavcaps_assets.masking": "secrets in errors and logs",
    "wavcaps_assets.network": "how bytes are fetched, not what they say",
    "wavcaps_assets.settings": "where things are on this machine",
    "wavcaps_assets.sources.settings": "how a source's settings are read from the environment",
    "wavcaps_assets.show": "what people see next to a result",
    "wavcaps_assets.store": "how tables and files are kept",
    "wavcaps_assets.tables.asset_tables": "where tables are in the store",
    "wavcaps_assets.tables.set_versions": "where published versions are in the store",
    "wavcaps_assets.publishing.changelog": "what people see of a version",
    "wavcaps_assets.publishing.publish_version": "which versions there are; their content is the set's",
    "wavcaps_assets.publishing.removals": "what people see of a version",
    "wavcaps_assets.publishing.version_diff": "what people see of a version",
    "wavcaps_assets.slices.attributions": "the credit lines of a slice, which the set has",
    "wavcaps_assets.slices.counts": "what people see next to a slice",
    "wavcaps_assets.versions": "this",
    "wavcaps_assets.sources.freesound_oauth": "how to sign in",
    "wavcaps_assets.audio.summary": "what people see next to the audio",
    "wavcaps_assets.captioning.rule_counts": "what people see next to the captions",
    "wavcaps_assets.checks.render": "what people see of checks",
    "wavcaps_assets.filtering.funnel": "what people see next to the filtered clips",
    # Requests are made in `captioning`. Here is how they are sent, paid for and kept.
    "wavcaps_assets.llm.batch": "how requests are sent in a batch",
    "wavcaps_assets.llm.budget": "what may be spent",
    "wavcaps_assets.llm.bucket_leases": "who sends a request",
    "wavcaps_assets.llm.bucket_totals": "what was spent",
    "wavcaps_assets.llm.chat": "how a request is sent",
    "wavcaps_assets.llm.dispatcher": "when requests are sent",
    "wavcaps_assets.llm.estimate": "what requests will cost",
    "wavcaps_assets.llm.folder_leases": "who sends a request",
    "wavcaps_assets.llm.leases": "who sends a request",
    "wavcaps_assets.llm.ledger": "where answers are kept",
    "wavcaps_assets.llm.progress": "what people see meanwhile",
    "wavcaps_assets.llm.rate_limit_headers": "when requests are sent",
    "wavcaps_assets.llm.rate_limiter": "when requests are sent",
    "wavcaps_assets.llm.recorder": "where answers are kept",
    "wavcaps_assets.llm.reservations": "what may be spent",
    "wavcaps_assets.llm.sender": "how requests are sent and retried",
    "wavcaps_assets.llm.session": "model, ledger, budget and limits together",
    "wavcaps_assets.llm.settings": "where the model is; tables say which model wrote each caption",
    "wavcaps_assets.llm.spending_totals": "what was spent",
    # An asset's own function counts, wherever it is.
    "wavcaps_assets.defs.checks": "what is verified afterwards",
    "wavcaps_assets.defs.common": "names in Dagster",
    "wavcaps_assets.defs.logs": "where log lines go",
    "wavcaps_assets.defs.partitions": "which runs there are",
    "wavcaps_assets.defs.pauses": "when a run pauses",
    "wavcaps_assets.defs.resources": "where things are on this machine",
    "wavcaps_assets.defs.table_io_manager": "how tables are written and shown",
    "wavcaps_training.defs.common": "names in Dagster",
    "wavcaps_training.defs.retries": "when a step is retried",
    "wavcaps_training.executor": "where a step runs",
    "wavcaps_training.training.launching": "how processes are started",
    "wavcaps_training.training.reporting": "what people see meanwhile",
    "wavcaps_training.training.run_copy": "where an unfinished run is kept",
    "wavcaps_training.training.throughput": "how fast a training is",
    "wavcaps_training.training.worker": "how processes are started",
    "wavcaps_training.worth.conclusions": "what people see",
    "wavcaps_training.worth.page": "what people see",
    "wavcaps_training.checkpoints.code_version": "which code wrote a file",
    "wavcaps_training.checkpoints.safe_files": "how weights are kept",
}
