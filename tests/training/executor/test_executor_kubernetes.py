"""The CUDA executor with Kubernetes as its engine: the jobs that it asks a cluster for.

The cluster is an HTTP server that has one node and says of every job that it failed; the client is
Kubernetes' own.
"""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from tests.support.paths import ROOT
from tests.training.executor.executor_runs import error_of, execute, failures_of
from wavcaps_assets.settings import Settings
from wavcaps_training.executor.config import ENGINE_VARIABLE, Engine
from wavcaps_training.executor.gpu_tags import KUBERNETES_TAG, gpu_tags

pytest.importorskip("dagster_k8s", reason="dagster-k8s is not installed: the extra `kubernetes` has it")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

EXAMPLES = ROOT / "deploy" / "kubernetes"
IMAGE = "registry.example/wavcaps:1"
JOBS = "/apis/batch/v1/namespaces/wavcaps/jobs"


@dataclass
class Cluster:
    """A cluster's API, as far as the executor uses it.

    Attributes:
        gpus: devices of its node; None: nodes may not be listed.
        jobs: what was asked for.
    """

    gpus: str | None = "2"
    jobs: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        if path == "/api/v1/nodes" and self.gpus is None:
            return 403, {"kind": "Status", "reason": "Forbidden", "code": 403}
        if path == "/api/v1/nodes":
            node = {"metadata": {"name": "node"}, "status": {"allocatable": {"nvidia.com/gpu": self.gpus}}}
            return 200, {"kind": "NodeList", "items": [node]}
        if method == "POST" and path == JOBS:
            self.jobs.append(body)
            return 201, body
        if path.startswith(JOBS):
            return 200, {"kind": "Job", "metadata": {}, "status": {"failed": 1}}
        return 404, {"kind": "Status", "reason": "NotFound", "code": 404}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that `tmp_path/kubeconfig` leads to."""
    cluster = Cluster()

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.split("?")[0]
            code, answer = cluster.answer(self.command, path, json.loads(body or b"null"))
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_POST = do_DELETE = reply  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "test", "user": {"token": "test"}}],
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
        yield cluster
        server.shutdown()


@pytest.fixture
def instance(tmp_path: Path, cluster: Cluster) -> Iterator[dg.DagsterInstance]:
    """An instance whose runs are launched on the cluster, as the chart sets one up."""
    launcher = {
        "service_account_name": "dagster",
        "job_image": IMAGE,
        "job_namespace": "wavcaps",
        "dagster_home": "/opt/dagster/dagster_home",
        "instance_config_map": "dagster-instance",
        "load_incluster_config": False,
        "kubeconfig_file": str(tmp_path / "kubeconfig"),
        "env_vars": ["WAVCAPS_STORE=s3://wavcaps/store"],
    }
    run_launcher = {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": launcher}
    with dg.instance_for_test(overrides={"run_launcher": run_launcher}) as instance:
        yield instance


def test_a_gpu_step_is_a_job_that_asks_for_a_gpu(instance: dg.DagsterInstance, cluster: Cluster) -> None:
    result = execute(instance, "killed_on_cluster", engine="kubernetes")
    assert "Discovered failed Kubernetes job" in failures_of(result)["killed"]
    (job,) = cluster.jobs
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == IMAGE
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert container["args"][-3:] == ["dagster", "api", "execute_step"]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert environment["WAVCAPS_DEVICE"] == "cuda"
    assert environment["WAVCAPS_STORE"] == "s3://wavcaps/store"
    assert environment["DAGSTER_RUN_STEP_KEY"] == "killed"
    assert environment["CUDA_VISIBLE_DEVICES"] == "0"
    assert job["metadata"]["labels"]["dagster/run-id"] == result.run_id
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "dagster"


def test_a_killed_pods_step_is_retried(instance: dg.DagsterInstance, cluster: Cluster) -> None:
    result = execute(instance, "killed_once_on_cluster", engine="kubernetes")
    assert not result.success
    first, second = (job["metadata"]["name"] for job in cluster.jobs)
    assert second == f"{first}-1"


def test_a_step_that_needs_more_than_a_node_has_fails_at_once(
    instance: dg.DagsterInstance, cluster: Cluster
) -> None:
    result = execute(instance, "greedy_beside_plain", engine="kubernetes")
    error = error_of(result)
    assert "step greedy needs 4 CUDA devices" in error
    assert "no machine of the Kubernetes cluster has more than 2" in error
    assert not cluster.jobs


def test_nodes_that_may_not_be_listed_are_an_error_with_what_to_do(
    instance: dg.DagsterInstance, cluster: Cluster
) -> None:
    cluster.gpus = None
    error = error_of(execute(instance, "killed_on_cluster", engine="kubernetes"))
    assert "403" in error and "node-reader.yaml" in error and "cluster_grows: true" in error
    execute(instance, "killed_on_cluster", engine="kubernetes", cluster_grows=True)
    assert len(cluster.jobs) == 1


def test_runs_that_are_not_on_kubernetes_cannot_have_it_as_engine() -> None:
    with dg.instance_for_test() as elsewhere:
        error = error_of(execute(elsewhere, "killed_on_cluster", engine="kubernetes"))
    assert "launched by DefaultRunLauncher: set K8sRunLauncher" in error


def test_the_example_deploys_both_code_locations_and_has_gpu_steps_in_pods_of_their_own() -> None:
    values = yaml.safe_load((EXAMPLES / "values.yaml").read_text())
    deployments = values["dagster-user-deployments"]["deployments"]
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    modules = [entry["python_module"]["module_name"] for entry in workspace["load_from"]]
    arguments = [deployment["dagsterApiGrpcArgs"] for deployment in deployments]
    assert arguments == [["-m", name] for name in modules]
    for deployment in deployments:
        environment = {variable["name"]: variable["value"] for variable in deployment["env"]}
        assert Settings(store=environment["WAVCAPS_STORE"]).store.startswith("s3://")
    assert Engine(environment[ENGINE_VARIABLE]) is Engine.kubernetes
    assert values["runLauncher"]["type"] == "K8sRunLauncher"


def test_the_example_lets_the_runs_list_nodes() -> None:
    role, binding = yaml.safe_load_all((EXAMPLES / "node-reader.yaml").read_text())
    assert role["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


@pytest.mark.parametrize(("devices", "limit"), [(1, "1"), (2, "2"), (0.5, "1")])
def test_kubernetes_gives_whole_devices(devices: float, limit: str) -> None:
    from dagster_k8s.job import get_user_defined_k8s_config

    @dg.op(tags=gpu_tags(devices))
    def op() -> None:
        pass

    config = get_user_defined_k8s_config(op.tags)
    assert config.container_config["resources"] == {"limits": {"nvidia.com/gpu": limit}}
    environment = {variable["name"]: variable["value"] for variable in config.container_config["env"]}
    assert len(environment["CUDA_VISIBLE_DEVICES"].split(",")) == int(limit)
    assert KUBERNETES_TAG in op.tags
