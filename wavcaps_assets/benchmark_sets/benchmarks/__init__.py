"""The benchmarks that models are scored on. A new benchmark is one file, and one line here."""

from __future__ import annotations

from importlib import import_module

from wavcaps_assets.benchmark_sets.benchmarks.benchmark import Benchmark

# Modules of this package. A module has the name of its benchmark, and `BENCHMARK`, an instance of its class.
MODULES = ("audiocaps", "clotho", "esc50", "urbansound8k", "vggsound", "fsd50k")
# Those that only the demo has.
DEMO_MODULES = ("demo_sounds",)


def known_benchmarks(demo: bool = False) -> tuple[Benchmark, ...]:
    """The benchmarks, in the order in which people see them.

    Args:
        demo: those of the demo, whose clips are its own.
    """
    return tuple(benchmark_named(name) for name in (DEMO_MODULES if demo else MODULES))


def benchmark_named(name: str) -> Benchmark:
    """A benchmark by its name.

    Raises:
        ValueError: there is none; says which there are.
    """
    if name not in (*MODULES, *DEMO_MODULES):
        raise ValueError(f"there is no benchmark {name!r}: the benchmarks are {', '.join(MODULES)}")
    benchmark = import_module(f"{__name__}.{name}").BENCHMARK
    assert isinstance(benchmark, Benchmark)
    return benchmark
