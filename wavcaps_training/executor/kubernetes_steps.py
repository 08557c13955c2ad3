"""Steps as jobs of a Kubernetes cluster, by dagster-k8s. docs/executor.md describes the setup."""

from __future__ import annotations

import dagster as dg
import kubernetes.client
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.executor import K8sStepHandler

from wavcaps_training.executor.devices import Capacity, DeviceError

GPU_RESOURCE = "nvidia.com/gpu"


def kubernetes_steps(instance: dg.DagsterInstance) -> K8sStepHandler:
    """Runs steps on the cluster of the instance's runs, with the image and the settings of those runs.

    Raises:
        DeviceError: the instance does not run on Kubernetes.
    """
    launcher = instance.run_launcher
    if not isinstance(launcher, K8sRunLauncher):
        raise DeviceError(
            "engine kubernetes gives steps the settings of their run's own pod, and this instance's runs "
            f"are launched by {type(launcher).__name__}: set K8sRunLauncher as its run launcher"
        )
    return K8sStepHandler(
        image=None,
        container_context=K8sContainerContext(),
        load_incluster_config=launcher.load_incluster_config,
        kubeconfig_file=launcher.kubeconfig_file,
    )


def cluster_capacity(cluster_grows: bool) -> Capacity:
    """The GPUs of the cluster's machines.

    Args:
        cluster_grows: machines are added on demand, so the cluster is not queried.

    Raises:
        DeviceError: the cluster cannot be queried.
    """
    if cluster_grows:
        return Capacity(0, 0, "the Kubernetes cluster grows", "cluster_grows is set")
    try:
        nodes = kubernetes.client.CoreV1Api().list_node().items
    except kubernetes.client.ApiException as error:
        raise DeviceError(
            f"the Kubernetes cluster does not list its machines: {error.status} {error.reason}. "
            "Let the run's service account list nodes (deploy/kubernetes/node-reader.yaml), or set "
            "`cluster_grows: true`: then the cluster is not queried, and a step that no machine can run "
            "waits."
        ) from error
    counts = [int((node.status.allocatable or {}).get(GPU_RESOURCE, 0)) for node in nodes]
    largest = max(counts, default=0)
    return Capacity(
        sum(counts),
        largest,
        f"no machine of the Kubernetes cluster has more than {largest}",
        f"{sum(counts)} {GPU_RESOURCE} on {len(counts)} machines",
    )
