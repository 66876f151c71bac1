"""The files in deploy/ say what the server says: settings, flags, ports, paths, metrics and times."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml

from service.settings import Settings, flag_name, load_settings, variable_name

FIELDS = [field.name for field in msgspec.structs.fields(Settings)]
DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
FILES = sorted(path for path in DEPLOY.iterdir() if path.is_file())
POD_FILES = ["kubernetes.yaml", "kserve.yaml"]
KUBERNETES_GRACE_S = 30


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def document(name: str, kind: str) -> dict[str, Any]:
    return next(found for found in documents(name) if found["kind"] == kind)


def pod(name: str) -> dict[str, Any]:
    """The pod's specification, wherever the kind keeps it."""
    spec = documents(name)[0]["spec"]
    return dict(spec["template"]["spec"] if "template" in spec else spec)


def container(name: str) -> dict[str, Any]:
    (only,) = pod(name)["containers"]
    return dict(only)


def environment(name: str) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container(name)["env"]}


def settings_of(name: str) -> Settings:
    return load_settings(environment(name))


def annotations(name: str) -> dict[str, str]:
    spec = documents(name)[0]["spec"]
    return dict(spec["template"]["metadata"]["annotations"] if "template" in spec else spec["annotations"])


def probes(name: str) -> dict[str, dict[str, Any]]:
    return {kind: value["httpGet"] for kind, value in container(name).items() if kind.endswith("Probe")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path):
    named = set(re.findall(r"\bLIVEDIGIT_[A-Z0-9_]+", path.read_text(encoding="utf-8")))
    assert named <= {variable_name(field) for field in FIELDS}


@pytest.mark.parametrize("name", POD_FILES)
def test_the_settings_are_accepted_and_listen_to_the_world(name):
    settings = settings_of(name)
    assert (settings.host, settings.log_format, settings.workers) == ("0.0.0.0", "json", 1)  # noqa: S104


@pytest.mark.parametrize("name", POD_FILES)
def test_every_flag_exists(name):
    flags = {argument.partition("=")[0] for argument in container(name).get("args", []) if argument.startswith("--")}
    assert flags <= {flag_name(field) for field in FIELDS}


@pytest.mark.parametrize("name", POD_FILES)
def test_ports_agree(name):
    port = settings_of(name).port
    (declared,) = container(name)["ports"]
    assert declared["containerPort"] == port
    assert {probe["port"] for probe in probes(name).values()} <= {port, declared.get("name")}
    assert [value for key, value in annotations(name).items() if key.endswith("/port")] == [str(port)]


@pytest.mark.parametrize("name", POD_FILES)
def test_the_image_is_what_the_dockerfile_says_how_to_build(name):
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    image = f"{project['name']}:{project['version']}"
    assert container(name)["image"] == image
    assert f"docker build -f deploy/Dockerfile -t {image} ." in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


def test_the_service_finds_the_pods():
    deployment, service = document("kubernetes.yaml", "Deployment"), document("kubernetes.yaml", "Service")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == labels
    assert document("kubernetes.yaml", "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["ports"][0]["targetPort"] == container("kubernetes.yaml")["ports"][0]["name"]
    target = document("kubernetes.yaml", "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])


@pytest.mark.parametrize("name", POD_FILES)
def test_probes_and_metrics_answer_on_a_running_server(server, name):
    paths = {probe["path"] for probe in probes(name).values()}
    paths |= {value for key, value in annotations(name).items() if key.endswith("/path")}
    assert len(paths) == 3
    assert {path: httpx.get(f"{server.url}{path}").status_code for path in paths} == dict.fromkeys(paths, 200)


@pytest.mark.parametrize("name", POD_FILES)
def test_containers_are_confined(name):
    confinement = pod(name).get("securityContext", {}) | container(name)["securityContext"]
    assert confinement["runAsNonRoot"]
    assert confinement["readOnlyRootFilesystem"]
    assert not confinement["allowPrivilegeEscalation"]
    assert confinement["capabilities"] == {"drop": ["ALL"]}
    assert confinement["seccompProfile"] == {"type": "RuntimeDefault"}


def test_kubernetes_waits_longer_than_a_stop_takes(longest_stop_s):
    assert pod("kubernetes.yaml")["terminationGracePeriodSeconds"] > longest_stop_s(settings_of("kubernetes.yaml"))


def test_a_stop_takes_no_longer_than_kserve_lets_it(longest_stop_s):
    """A ServingRuntime cannot name a grace period, so it is Kubernetes' own."""
    assert longest_stop_s(settings_of("kserve.yaml")) < KUBERNETES_GRACE_S


def test_kserve_serves_what_it_mounts_under_the_name_it_asks_for():
    runtime, service = document("kserve.yaml", "ServingRuntime"), document("kserve.yaml", "InferenceService")
    assert {"--models-dir=/mnt/models", "--model-name={{.Name}}"} <= set(container("kserve.yaml")["args"])
    assert container("kserve.yaml")["name"] == "kserve-container"
    assert service["metadata"]["name"] == Settings().model_name
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    assert model["modelFormat"]["name"] in {known["name"] for known in runtime["spec"]["supportedModelFormats"]}


def test_alerts_ask_for_metrics_that_the_server_has(server):
    (group,) = yaml.safe_load((DEPLOY / "prometheus-alerts.yaml").read_text(encoding="utf-8"))["groups"]
    asked = set(re.findall(r"\blivedigit_\w+", " ".join(rule["expr"] for rule in group["rules"])))
    exposed = httpx.get(f"{server.url}/metrics").text
    families = set(re.findall(r"^# TYPE (\w+)", exposed, re.MULTILINE))
    assert {re.sub(r"_bucket$", "", name) for name in asked} <= families


@pytest.fixture
def unit_file() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read(DEPLOY / "livedigit.service", encoding="utf-8")
    return parser


@pytest.fixture
def unit(unit_file) -> configparser.SectionProxy:
    return unit_file["Service"]


def test_systemd_starts_reloads_and_stops_as_the_server_does(unit, longest_stop_s):
    assert unit["ExecStart"].endswith("/livedigit serve")
    assert unit["ExecReload"].endswith("-HUP $MAINPID")
    assert unit["KillMode"] == "mixed"
    assert float(unit["TimeoutStopSec"]) > longest_stop_s(Settings())


def test_systemd_never_gives_up(unit_file):
    """Its default limit is five starts in ten seconds, whatever `Restart` says, and one that fails takes a second."""
    assert unit_file["Service"]["Restart"] == "always"
    assert unit_file["Unit"]["StartLimitIntervalSec"] == "0"


def test_systemd_leaves_a_place_to_keep_corrections_in(unit):
    assert (unit["ProtectSystem"], unit["DynamicUser"]) == ("strict", "yes")
    assert unit["StateDirectory"] == "livedigit"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_the_unit(tmp_path, unit):
    text = (DEPLOY / "livedigit.service").read_text(encoding="utf-8")
    # It insists on a program that is there.
    (tmp_path / "livedigit.service").write_text(text.replace(unit["ExecStart"], "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "livedigit.service"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
