"""Assets of the other code location whose tables the steps of this one read."""

import dagster as dg

from wavcaps_assets.benchmark_sets.benchmarks import known_benchmarks
from wavcaps_assets.benchmark_sets.heard import AUDIO_OVERLAPS
from wavcaps_assets.defs.common import ANALYSIS
from wavcaps_assets.settings import Sources
from wavcaps_assets.tables.analysis import EXAMPLES, SET_STATISTICS
from wavcaps_training.defs.common import Location
from wavcaps_training.scoring.tasks import known_tasks


def definitions(location: Location) -> dg.Definitions:
    manifests = {experiment.training_manifest for experiment in location.experiments}
    benchmarks = {
        ("benchmark", benchmark)
        for task in known_tasks()
        for benchmark in task.benchmarks_for(location.settings.sources)
    }
    compared = {
        (kind, benchmark.name)
        for benchmark in known_benchmarks(demo=location.settings.sources is Sources.EMBEDDED)
        for kind in ("benchmark", "benchmark_fingerprints", AUDIO_OVERLAPS)
    }
    tables = {(ANALYSIS, SET_STATISTICS.name), (ANALYSIS, EXAMPLES.name)}
    keys = sorted({("wavcaps",), *tables, *manifests, *benchmarks, *compared})
    return dg.Definitions(assets=[dg.AssetSpec(list(key)) for key in keys])
