"""Whether the list of imported sources outlives the container of the import."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# Both are in the pod of a run that has a pod of its own.
OF_A_RUN = ("KUBERNETES_SERVICE_HOST", "DAGSTER_RUN_JOB_NAME")
# In the code servers of Dagster's Helm chart.
OF_A_CODE_SERVER = "DAGSTER_K8S_PIPELINE_RUN_NAMESPACE"
ROOT = Path("/")


def ends_with_its_pod(folder: Path, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a folder, which may not be there yet, is on a pod's own disk, and not on a volume.

    What a run leaves on the disk of its pod neither the code server nor a later run sees.
    """
    whole = folder.absolute()
    there = next(one for one in (whole, *whole.parents) if one.exists())
    in_a_pod = OF_A_CODE_SERVER in environment or all(name in environment for name in OF_A_RUN)
    return in_a_pod and there.stat().st_dev == ROOT.stat().st_dev
