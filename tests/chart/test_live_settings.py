"""What goes into the ConfigMap and what into the environment, and what a change of each does to the pods."""

from typing import Any

import pytest
from charts import container, deployment, env, given, helm, objects, one, shape

from servicekit.settings import describe
from voice_gateway.settings import GatewaySettings, load

pytestmark = pytest.mark.usefixtures("real_helm")

KNOWN = {doc.key: doc for doc in describe(GatewaySettings)}
CONFIG_MAP = "voice-gateway-config"
NOT_SETTINGS = {"GATEWAY_CONFIG"}
"""Read before there are settings: it names where they are."""


def config(*arguments: str) -> dict[str, str]:
    return dict(one("ConfigMap", CONFIG_MAP, *arguments)["data"])


def pod(*arguments: str) -> dict[str, Any]:
    return dict(deployment(*arguments)["spec"]["template"])


def test_the_defaults() -> None:
    assert config() == {
        "ASR_LANGUAGE": "en-US",
        "ASR_SAMPLE_RATE": "16000",
        "LLM_MAX_TOKENS": "1024",
        "LLM_MODEL": "meta/llama-3.1-8b-instruct",
        "LLM_SYSTEM_PROMPT": KNOWN["LLM_SYSTEM_PROMPT"].default,
        "LLM_TEMPERATURE": "0.5",
        "TTS_SAMPLE_RATE": "16000",
        "TTS_VOICE": "",
    }
    for key, value in config().items():
        assert value == KNOWN[key].default, key


def test_the_config_map_is_mounted_whole_and_named() -> None:
    spec = pod()["spec"]
    (volume,) = [item for item in spec["volumes"] if "configMap" in item]
    assert volume["configMap"] == {"name": CONFIG_MAP}
    (mount,) = [item for item in container()["volumeMounts"] if item["name"] == volume["name"]]
    assert mount["mountPath"] == env()["GATEWAY_CONFIG"] == "/etc/voice-gateway/config"
    assert "subPath" not in mount


@pytest.mark.parametrize("name", ["default", "embedded", "ha", "hosted", "ingress", "mutual-tls", "own-config"])
def test_every_key_that_the_chart_writes_is_a_setting(name: str) -> None:
    written = {item["name"] for item in container(*shape(name))["env"]} - NOT_SETTINGS
    if name != "own-config":
        written |= set(config(*shape(name)))
    assert written - set(KNOWN) == set()


@pytest.mark.parametrize("name", ["default", "embedded", "hosted"])
def test_the_gateway_takes_what_the_chart_writes(name: str, tmp_path: Any) -> None:
    for key, value in config(*shape(name)).items():
        (tmp_path / key).write_text(value)
    # Files are in the pod, not here.
    variables = {key: value for key, value in env(*shape(name)).items() if not key.endswith("_FILE")}
    load(environ={**variables, **SET_IN_A_POD, "NVIDIA_API_KEY": "nvapi-example"}, file=tmp_path)


SET_IN_A_POD = {"POD_NAME": "gateway-0", "POD_NAMESPACE": "voice-workflow", "KUBERNETES_SERVICE_HOST": "10.96.0.1"}


# ---- what a change does ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"config.llm.temperature": "0.7"}, {"LLM_TEMPERATURE": "0.7"}),
        ({"config.llm.temperature": 0.7}, {"LLM_TEMPERATURE": "0.7"}),
        ({"config.llm.temperature": 1}, {"LLM_TEMPERATURE": "1"}),
        ({"config.llm.maxTokens": 256}, {"LLM_MAX_TOKENS": "256"}),
        ({"config.llm.maxTokens": "256"}, {"LLM_MAX_TOKENS": "256"}),
        (
            {"config.llm.systemPrompt": "You are a Hindi-speaking assistant. Respond in Hindi."},
            {"LLM_SYSTEM_PROMPT": "You are a Hindi-speaking assistant. Respond in Hindi."},
        ),
        ({"config.llm.systemPrompt": 'Say "yes".\nनमस्ते।\n'}, {"LLM_SYSTEM_PROMPT": 'Say "yes".\nनमस्ते।\n'}),
        ({"config.asr.language": "hi-IN", "config.tts.voice": "x"}, {"ASR_LANGUAGE": "hi-IN", "TTS_VOICE": "x"}),
        ({"config.extra.LLM_HISTORY_TOKENS": 1000000}, {"LLM_HISTORY_TOKENS": "1000000"}),
        ({"config.extra.TURN_INTERRUPTIBLE": False}, {"TURN_INTERRUPTIBLE": "false"}),
        ({"config.extra.ALLOWED_OVERRIDES": ["tts_voice", "llm_model"]}, {"ALLOWED_OVERRIDES": "tts_voice,llm_model"}),
    ],
)
def test_a_live_setting_reaches_the_config_map_and_leaves_the_pods_alone(
    values: dict[str, Any], expected: dict[str, str]
) -> None:
    assert expected.items() <= config(*given(values)).items()
    assert pod(*given(values)) == pod()


def test_every_setting_can_be_written_and_only_what_is_read_at_the_start_replaces_pods() -> None:
    live = {key for key, doc in KNOWN.items() if not doc.secret and doc.applies != "restart"} - set(config())
    values = {f"config.extra.{key}": KNOWN[key].default for key in sorted(live)}
    assert set(config(*given(values))) == live | set(config())
    assert pod(*given(values)) == pod()
    for key in ("VAD_ENTER_SCORE", "BREAKER_FAILURES"):
        one_kind, another = (pod(*given({f"config.extra.{key}": value})) for value in ("0.6", "0.7"))
        assert one_kind != another
        assert one_kind["spec"] == pod()["spec"]


def test_the_environment_replaces_pods() -> None:
    assert pod(*given({"gateway.env.ASR_URI": "asr:50051"})) != pod()
    assert env(*given({"gateway.env.RIVA_URI": "elsewhere:50051"}))["RIVA_URI"] == "elsewhere:50051"
    assert env(*given({"gateway.maxCalls": "10"}))["MAX_CALLS"] == "10"


def test_a_config_map_of_ones_own_takes_the_place_of_the_charts() -> None:
    own = shape("own-config")
    assert not [item for item in objects(*own) if item["kind"] == "ConfigMap"]
    (volume,) = [item for item in pod(*own)["spec"]["volumes"] if "configMap" in item]
    assert volume["configMap"] == {"name": "my-voice-config"}


def test_the_hosted_preset_is_not_written_over() -> None:
    hosted = shape("hosted")
    assert not {"RIVA_URI", "LLM_BASE_URL"} & set(env(*hosted))
    assert "TTS_VOICE" not in config(*hosted)
    assert config(*hosted, *given({"config.tts.voice": "x"}))["TTS_VOICE"] == "x"


def test_numbers_of_the_pods_may_be_quoted() -> None:
    own = deployment(*shape("own-config"))["spec"]
    assert own["replicas"] == 2
    ports = one("Service", "voice-gateway-gateway", *shape("own-config"))["spec"]["ports"]
    assert ports[0]["nodePort"] == 30051


def test_helm_set_makes_no_power_of_ten() -> None:
    result = helm(
        "template", "voice-gateway", "helm/voice-workflow", "--set", "config.extra.LLM_HISTORY_TOKENS=1000000"
    )
    assert 'LLM_HISTORY_TOKENS: "1000000"' in result.stdout
