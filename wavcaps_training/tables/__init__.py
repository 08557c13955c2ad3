"""The tables of this package, one file each. Importing it registers their schemas."""

from wavcaps_assets.tables import register_schemas
from wavcaps_training.tables.benchmark_captioning import (
    BENCHMARK_CAPTIONING,
    GENERATED_CAPTIONS,
    GENERATED_CAPTIONS_FOLDER,
    SCORES_OF_CLIP,
)
from wavcaps_training.tables.benchmark_retrieval import BENCHMARK_RETRIEVAL
from wavcaps_training.tables.checkpoints import CHECKPOINT, LEARNING_CURVE, NAMED_SCORES
from wavcaps_training.tables.classification_scores import CLASSIFICATION_SCORES
from wavcaps_training.tables.comparison import PAPER_COMPARISON, PAPER_COMPARISON_KEY
from wavcaps_training.tables.embeddings import (
    AUDIO_EMBEDDINGS,
    BENCHMARK_EMBEDDINGS_FOLDER,
    EMBEDDINGS_FOLDER,
)
from wavcaps_training.tables.file_scores import FILE_SCORES, FILE_SCORES_KEY
from wavcaps_training.tables.generation import (
    BENCHMARK_GENERATION,
    GENERATED_SOUNDS,
    GENERATED_SOUNDS_FOLDER,
    LATENTS,
    LATENTS_FOLDER,
)
from wavcaps_training.tables.retrieval_scores import (
    RETRIEVAL_SCORES,
    RETRIEVAL_SCORES_KEY,
    SCORES_OF_EXPERIMENTS,
    SEED_SCORES,
    SEED_SCORES_KEY,
)
from wavcaps_training.tables.search import (
    INDEX_FOLDER,
    QUERY_SCORES,
    QUERY_SCORES_FOLDER,
    SEARCH_INDEX,
    SEARCH_RATINGS,
    SEARCH_RATINGS_KEY,
)
from wavcaps_training.tables.withdrawn import WITHDRAWN_CLIPS, WITHDRAWN_CLIPS_KEY
from wavcaps_training.tables.worth import WORTH, WORTH_EMBEDDINGS_KEY, WORTH_KEY

__all__ = [
    "AUDIO_EMBEDDINGS",
    "BENCHMARK_CAPTIONING",
    "BENCHMARK_EMBEDDINGS_FOLDER",
    "BENCHMARK_GENERATION",
    "BENCHMARK_RETRIEVAL",
    "CHECKPOINT",
    "CLASSIFICATION_SCORES",
    "EMBEDDINGS_FOLDER",
    "FILE_SCORES",
    "FILE_SCORES_KEY",
    "GENERATED_CAPTIONS",
    "GENERATED_CAPTIONS_FOLDER",
    "GENERATED_SOUNDS",
    "GENERATED_SOUNDS_FOLDER",
    "INDEX_FOLDER",
    "LATENTS",
    "LATENTS_FOLDER",
    "LEARNING_CURVE",
    "NAMED_SCORES",
    "PAPER_COMPARISON",
    "PAPER_COMPARISON_KEY",
    "QUERY_SCORES",
    "QUERY_SCORES_FOLDER",
    "RETRIEVAL_SCORES",
    "RETRIEVAL_SCORES_KEY",
    "SCORES_OF_CLIP",
    "SCORES_OF_EXPERIMENTS",
    "SEARCH_INDEX",
    "SEARCH_RATINGS",
    "SEARCH_RATINGS_KEY",
    "SEED_SCORES",
    "SEED_SCORES_KEY",
    "WITHDRAWN_CLIPS",
    "WITHDRAWN_CLIPS_KEY",
    "WORTH",
    "WORTH_EMBEDDINGS_KEY",
    "WORTH_KEY",
]

register_schemas(
    {
        # A setting, such as `audio`, may have the name of another table: what begins with a folder is in it.
        "checkpoint/": CHECKPOINT,
        f"{EMBEDDINGS_FOLDER}/": AUDIO_EMBEDDINGS,
        f"{BENCHMARK_EMBEDDINGS_FOLDER}/": AUDIO_EMBEDDINGS,
        "/".join(RETRIEVAL_SCORES_KEY): RETRIEVAL_SCORES,
        f"{SCORES_OF_EXPERIMENTS}/": RETRIEVAL_SCORES,
        # `scores/<task>/<benchmark>/<model>/<setting>`
        "scores/captioning/": BENCHMARK_CAPTIONING,
        "scores/retrieval/": BENCHMARK_RETRIEVAL,
        "scores/classification/": CLASSIFICATION_SCORES,
        "scores/generation/": BENCHMARK_GENERATION,
        f"{LATENTS_FOLDER}/": LATENTS,
        f"{GENERATED_SOUNDS_FOLDER}/": GENERATED_SOUNDS,
        f"{GENERATED_CAPTIONS_FOLDER}/": GENERATED_CAPTIONS,
        "/".join(FILE_SCORES_KEY): FILE_SCORES,
        "/".join(SEED_SCORES_KEY): SEED_SCORES,
        "/".join(PAPER_COMPARISON_KEY): PAPER_COMPARISON,
        f"{INDEX_FOLDER}/": SEARCH_INDEX,
        "/".join(SEARCH_RATINGS_KEY): SEARCH_RATINGS,
        f"{QUERY_SCORES_FOLDER}/": QUERY_SCORES,
        "/".join(WITHDRAWN_CLIPS_KEY): WITHDRAWN_CLIPS,
        "/".join(WORTH_KEY): WORTH,
        "/".join(WORTH_EMBEDDINGS_KEY): AUDIO_EMBEDDINGS,
    }
)
