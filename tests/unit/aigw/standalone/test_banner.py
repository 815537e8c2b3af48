"""What a person reads at the start: addresses, models, and lines that can be copied."""

from typing import Any

import yaml

from aigw.standalone import banner, resources, verdicts
from tests.standalone import files


def text(*listeners: dict[str, Any]) -> str:
    gateway = files.gateway()
    gateway[1]["spec"]["listeners"] = [{"protocol": "HTTP", "port": 80, **each} for each in listeners]
    documents = [
        *gateway,
        files.route({"named": [{"name": "b"}]}, name="one", hostnames=["*.example.com"]),
        files.route({"plain": [{"name": "b"}]}, name="two", hostnames=["other.test"]),
        files.route({"it's": [{"name": "b"}]}, name="three"),
        *files.backend("b", "OpenAI", 9),
    ]
    loaded = resources.read(yaml.safe_dump_all(documents), "f.yaml", {})
    compiled = verdicts.judge(loaded, token_key=bytes(32)).compiled
    started = banner.Started(seconds=1.0, source="f.yaml", admin_port=1064, host="localhost")
    return banner.text(loaded.snapshot, compiled, started)


QUESTION = '"messages":[{"role":"user","content":"What is 6 x 7?"}]'
CHAT = "http://localhost:80/v1/chat/completions -H 'content-type: application/json' -d "


def test_lines_to_copy_are_of_the_listener_that_takes_every_host_and_of_a_model_that_it_serves() -> None:
    found = text({"name": "some", "hostname": "*.example.com"}, {"name": "all"})
    body = f'"model":"it\'\\\'\'s",{QUESTION}'
    assert found.splitlines() == [
        "aigw is ready after 1.0 s (f.yaml)",
        "",
        "  gateway   http://localhost:80  (for host *.example.com)",
        "  gateway   http://localhost:80",
        "  admin     http://127.0.0.1:1064/metrics  (and /health)",
        "  models    it's, named, plain",
        "",
        "Try it:",
        f"  curl {CHAT}'{{{body}}}'",
        f"  curl -N {CHAT}'{{{body},\"stream\":true}}'",
        "  curl http://localhost:80/v1/models",
    ]


def test_a_host_name_that_does_not_lead_here_is_led_here() -> None:
    found = text({"name": "some", "hostname": "*.example.com"})
    assert "  curl --connect-to ::localhost: http://any.example.com:80/v1/models" in found
