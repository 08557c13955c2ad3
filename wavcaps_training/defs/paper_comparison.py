"""The comparison with the paper's figures."""

from collections import Counter

import dagster as dg
import pyarrow as pa

from wavcaps_assets.analysis.data_sets import authors_of
from wavcaps_assets.defs.code_versions import Scope, scoped
from wavcaps_assets.defs.common import ANALYSIS
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.tables.analysis import EXAMPLES, SET_STATISTICS
from wavcaps_training.defs.common import OWNERS, Location, benchmark_scores_of
from wavcaps_training.paper.comparison import compare, reported_keys, reported_scores
from wavcaps_training.settings.encoders import encoders
from wavcaps_training.tables import PAPER_COMPARISON, PAPER_COMPARISON_KEY, RETRIEVAL_SCORES_KEY


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(assets=[_paper_comparison(location)])


def _paper_comparison(location: Location) -> dg.AssetsDefinition:
    reported = reported_keys()
    made_here = [
        task.scores_key(benchmark, one.name) for one, task, benchmark in benchmark_scores_of(location)
    ]

    @dg.asset(
        key=list(PAPER_COMPARISON_KEY),
        ins={
            "statistics": dg.AssetIn(key=[ANALYSIS, SET_STATISTICS.name]),
            "wavcaps": dg.AssetIn(),
        },
        # The scores of the own split come first in a run of both; they are not compared with the paper's.
        deps=[
            [ANALYSIS, EXAMPLES.name],
            list(RETRIEVAL_SCORES_KEY),
            *(list(key) for key in made_here if key in reported),
        ],
        group_name="scores",
        kinds={"parquet"},
        owners=OWNERS,
        description="The paper's Tables II to X next to this store's figures and scores, what cannot be "
        "compared and why, and for what was not run, the assets that would make it.",
        metadata=schema_metadata(PAPER_COMPARISON),
    )
    # It compares the settings of networks, whose modules they name, and runs none.
    @scoped(Scope(without=[settings.network.partition(":")[0] for settings in encoders().values()]))
    def paper_comparison(
        context: dg.AssetExecutionContext, statistics: pa.Table, wavcaps: pa.Table, store: StoreResource
    ) -> pa.Table:
        tables = store.tables()
        examples = tables.read([ANALYSIS, EXAMPLES.name])
        comparison = compare(statistics, authors_of(wavcaps), examples, reported_scores(tables))
        counts = Counter(comparison["status"].to_pylist())
        context.add_output_metadata({f"figures {status}": count for status, count in sorted(counts.items())})
        return comparison

    return paper_comparison
