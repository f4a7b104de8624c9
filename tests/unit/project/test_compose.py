"""The container files, as far as they can be judged without a container engine.

With one they are run by `scripts/acceptance compose`.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from jsonschema import Draft201909Validator  # type: ignore[import-untyped]
from lab.places import REPOSITORY

NODES = ("a", "b", "c")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.lan.yml").read_text())
    return loaded


@pytest.fixture(scope="module")
def schema() -> Draft201909Validator:
    return Draft201909Validator(
        json.loads((REPOSITORY / "tests/schema/compose-spec.json").read_text())
    )


def test_compose_file_fits_the_specification(
    compose: dict[str, Any], schema: Draft201909Validator
) -> None:
    assert [error.message for error in schema.iter_errors(compose)] == []


def test_the_schema_refuses_what_is_no_compose_file(
    compose: dict[str, Any], schema: Draft201909Validator
) -> None:
    compose = json.loads(json.dumps(compose))
    compose["services"]["a"]["cap_adds"] = ["SYS_ADMIN"]
    assert not schema.is_valid(compose)


def test_every_node_can_mount_and_shares_the_office(compose: dict[str, Any]) -> None:
    for name in NODES:
        node = compose["services"][name]
        assert node["environment"]["LUCIDNODE_NAME"] == name
        assert node["cap_add"] == ["SYS_ADMIN"]
        assert node["devices"] == ["/dev/fuse:/dev/fuse"]
        assert node["networks"] == compose["services"]["bucket"]["networks"] == ["office"]
        assert "tickets:/tickets" in node["volumes"]


def test_one_founder_invites_everybody_else(compose: dict[str, Any]) -> None:
    settings = {name: compose["services"][name]["environment"] for name in NODES}
    founders = [name for name in NODES if "LUCIDNODE_BUCKET" in settings[name]]
    assert len(founders) == 1
    guests = settings[founders[0]]["LUCIDNODE_GUESTS"].split()
    assert sorted([*founders, *guests]) == sorted(NODES)


def test_founder_has_the_keys_of_the_bucket_and_nobody_else(compose: dict[str, Any]) -> None:
    bucket, founder = (compose["services"][name] for name in ("bucket", "a"))
    user, secret = (
        bucket["environment"][f"MINIO_ROOT_{each}"] for each in ("USER", "PASSWORD_FILE")
    )
    assert founder["environment"]["AWS_ACCESS_KEY_ID"] == user
    assert founder["environment"]["LUCIDNODE_SECRET_KEY"] == secret
    given = {name for name, service in compose["services"].items() if service.get("secrets")}
    assert given == {"bucket", "a"}


def test_no_secret_is_in_the_file(compose: dict[str, Any]) -> None:
    settings = [service.get("environment", {}) for service in compose["services"].values()]
    assert not {
        name for each in settings for name in each if name.endswith(("PASSWORD", "ACCESS_KEY"))
    }
    assert compose["secrets"]["studio_secret_key"]["file"] == "./studio-secret-key"
    assert "studio-secret-key" in (REPOSITORY / ".gitignore").read_text().splitlines()


def test_another_store_takes_the_place_of_minio_at_the_same_address(
    compose: dict[str, Any], schema: Draft201909Validator
) -> None:
    other = yaml.safe_load((REPOSITORY / "docker-compose.seaweed.yml").read_text())
    assert [error.message for error in schema.iter_errors(other)] == []
    assert set(other["services"]) == {"bucket"}
    port = compose["services"]["a"]["environment"]["LUCIDNODE_ENDPOINT"].rpartition(":")[2]
    assert f"-s3.port={port}" in " ".join(other["services"]["bucket"]["entrypoint"])


def test_health_asks_the_product(compose: dict[str, Any]) -> None:
    for name in NODES:
        assert compose["services"][name]["healthcheck"]["test"] == ["CMD", "node-entry", "healthy"]
        assert compose["services"][name]["restart"] == "unless-stopped"


def test_every_named_volume_is_declared(compose: dict[str, Any]) -> None:
    used = {v.split(":")[0] for s in compose["services"].values() for v in s["volumes"]}
    assert used == set(compose["volumes"])


def test_entry_script_knows_every_setting_given(compose: dict[str, Any]) -> None:
    script = (REPOSITORY / "scripts/node-entry").read_text()
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    given = {s for n in NODES for s in compose["services"][n]["environment"] if "LUCID" in s}
    given |= set(re.findall(r"(LUCIDNODE_\w+)=", dockerfile))
    assert all(setting in script for setting in given)


def test_image_starts_through_the_entry_script_of_the_lab() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["node-entry"]' in dockerfile
    assert 'CMD ["run"]' in dockerfile
    assert (
        'ENTRY = str(SCRIPTS / "node-entry")'
        in (REPOSITORY / "scripts/lab/workstation.py").read_text()
    )


def test_what_the_image_copies_exists_and_is_not_ignored() -> None:
    kept = [
        line[1:]
        for line in (REPOSITORY / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert sorted(copied) == sorted(kept)
    assert all((REPOSITORY / source).exists() for source in copied)
