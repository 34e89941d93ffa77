"""Policies of the chart against what its pods open, by their settings, and what they dial."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from charts import Object, given, objects, one, shape

pytestmark = pytest.mark.usefixtures("real_helm")

POLICED = {
    "embedded": shape("embedded"),
    "ha": shape("ha"),
    "mutual TLS": (*shape("mutual-tls"), *given({"networkPolicy.enabled": True})),
    "elsewhere": (*shape("embedded"), *given({"gateway.bindAddress": "[::]", "gateway.service.port": 443})),
}
EVERY_ONE = pytest.mark.parametrize("arguments", POLICED.values(), ids=POLICED)
GATEWAY = "voice-gateway-gateway"


def pods(arguments: tuple[str, ...]) -> dict[str, Object]:
    """Pods of the Deployments, by name."""
    found = (item for item in objects(*arguments) if item["kind"] == "Deployment")
    return {item["metadata"]["name"]: item["spec"]["template"] for item in found}


def policy_of(pod: Object, arguments: tuple[str, ...]) -> Object:
    """The policy that selects it."""
    (only,) = (
        item["spec"]
        for item in objects(*arguments)
        if item["kind"] == "NetworkPolicy" and selects(item["spec"]["podSelector"], pod)
    )
    return dict(only)


def selects(selector: Object, pod: Object) -> bool:
    return bool(selector.get("matchLabels", {}).items() <= pod["metadata"]["labels"].items())


def container(pod: Object) -> Object:
    (only,) = pod["spec"]["containers"]
    return dict(only)


def number(port: int | str, pod: Object) -> int:
    """Of a port by name or number, on this pod."""
    named = {each["name"]: each["containerPort"] for each in container(pod)["ports"]}
    return port if isinstance(port, int) else named[port]


def listens(pod: Object) -> set[int]:
    """By its settings."""
    env = {each["name"]: each.get("value", "") for each in container(pod)["env"]}
    addresses = [value for name, value in env.items() if name.endswith(("_LISTEN_ADDRESS", "_METRICS_PORT")) and value]
    return {int(address.rpartition(":")[2]) for address in addresses}


def admits(rules: list[Any], side: str, peer: Object, port: int, pod: Object) -> bool:
    """Whether any of these rules lets TCP through between the peer and this port of `pod`."""
    return any(
        any(number(each["port"], pod) == port and each["protocol"] == "TCP" for each in rule["ports"])
        and (side not in rule or any(selects(to["podSelector"], peer) for to in rule[side] if "podSelector" in to))
        for rule in rules
        if "ports" in rule
    )


@EVERY_ONE
def test_what_a_pod_opens_is_what_it_names_and_what_its_policy_lets_in(arguments: tuple[str, ...]) -> None:
    for name, pod in pods(arguments).items():
        ports = {port["containerPort"] for port in container(pod)["ports"]}
        let_in = {number(port["port"], pod) for rule in policy_of(pod, arguments)["ingress"] for port in rule["ports"]}
        assert listens(pod) == ports == let_in, name


@EVERY_ONE
def test_every_service_leads_to_ports_that_a_policy_lets_in(arguments: tuple[str, ...]) -> None:
    for service in (item["spec"] for item in objects(*arguments) if item["kind"] == "Service"):
        (pod,) = (pod for pod in pods(arguments).values() if selects({"matchLabels": service["selector"]}, pod))
        for port in service["ports"]:
            rules = policy_of(pod, arguments)["ingress"]
            assert any(number(port["targetPort"], pod) == number(let["port"], pod) for r in rules for let in r["ports"])


@pytest.mark.parametrize("arguments", [POLICED["embedded"], POLICED["elsewhere"]], ids=["embedded", "elsewhere"])
def test_the_gateway_reaches_what_its_settings_name_and_the_other_side_lets_it_in(arguments: tuple[str, ...]) -> None:
    gateway = pods(arguments)[GATEWAY]
    env = {each["name"]: each.get("value", "") for each in container(gateway)["env"]}
    for address in (f"//{env['RIVA_URI']}", env["LLM_BASE_URL"]):
        url = urlsplit(address)
        service = one("Service", str(url.hostname), *arguments)["spec"]
        (pod,) = (pod for pod in pods(arguments).values() if selects({"matchLabels": service["selector"]}, pod))
        (port,) = (number(port["targetPort"], pod) for port in service["ports"] if port["port"] == url.port)
        # What is policed is the pod's port, not the Service's.
        assert admits(policy_of(gateway, arguments)["egress"], "to", pod, port, pod), address
        assert admits(policy_of(pod, arguments)["ingress"], "from", gateway, port, pod), address


def anywhere(arguments: tuple[str, ...]) -> set[tuple[str, int]]:
    """What the gateway may dial on any host."""
    rules = policy_of(pods(arguments)[GATEWAY], arguments)["egress"]
    return {(port["protocol"], port["port"]) for rule in rules if "to" not in rule for port in rule["ports"]}


def test_names_are_resolved_and_the_api_server_is_reached_where_it_is_needed() -> None:
    names = {("UDP", 53), ("TCP", 53)}
    assert anywhere(POLICED["embedded"]) == names | {("TCP", 443), ("TCP", 6443)}
    silent = given({"kubernetes": {"events": False, "podDeletionCost": False}})
    assert anywhere((*POLICED["embedded"], *silent)) == names
