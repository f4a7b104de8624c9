"""Temporary credentials of a machine's own: each provider of boto3 gives others before they end."""

from __future__ import annotations

import hashlib
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

START = "https://studio.example/start"


class Issuer(http.server.ThreadingHTTPServer):
    """Stands for STS and for SSO's portal. What it gives ends so soon that it is asked each time."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.given = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def credentials(self) -> tuple[str, datetime]:
        self.given += 1
        return f"AK{self.given}", datetime.now(UTC) + timedelta(minutes=5)


class _Answer(http.server.BaseHTTPRequestHandler):
    server: Issuer

    def do_POST(self) -> None:  # STS: AssumeRole
        self.rfile.read(int(self.headers["Content-Length"]))
        key, end = self.server.credentials()
        self._say(
            "text/xml",
            '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>'
            f"<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>S</SecretAccessKey>"
            f"<SessionToken>T</SessionToken><Expiration>{end.isoformat()}</Expiration></Credentials>"
            "</AssumeRoleResult></AssumeRoleResponse>",
        )

    def do_GET(self) -> None:  # SSO: GetRoleCredentials
        assert self.headers["x-amz-sso_bearer_token"] == "signed on"
        key, end = self.server.credentials()
        role = {"accessKeyId": key, "secretAccessKey": "S", "sessionToken": "T"}
        body = {"roleCredentials": {**role, "expiration": int(end.timestamp() * 1000)}}
        self._say("application/json", json.dumps(body))

    def _say(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        pass


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


PROGRAM = """
import json
from lucidnode.node.bucket.machine_credentials import MachineCredentials
from lucidnode.node.bucket.network import Network

machine = MachineCredentials(Network())
found = [machine.fetch() for _ in range(3)]
assert all(one.is_temporary for one in found)
print(json.dumps([one.access_key for one in found]))
"""

STS = """role_arn = arn:aws:iam::123456789012:role/editor
source_profile = own
[profile own]
aws_access_key_id = OWN
aws_secret_access_key = OWN
region = eu-west-1
services = here
"""

SSO = f"""sso_start_url = {START}
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = editor
"""


def _sign_on(home: Path) -> None:
    """Leave what `aws sso login` leaves, whose name it makes of the address."""
    cache = home / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    end = (datetime.now(UTC) + timedelta(hours=8)).strftime("%Y-%m-%dT%H:%M:%SZ")
    token = {"startUrl": START, "region": "eu-west-1", "accessToken": "signed on", "expiresAt": end}
    name = hashlib.sha1(START.encode()).hexdigest()
    (cache / f"{name}.json").write_text(json.dumps(token))


@pytest.mark.parametrize("profile", [STS, SSO], ids=["role of STS", "single sign-on"])
def test_credentials_that_end_are_renewed_as_the_profile_of_the_machine_says(
    issuer: Issuer, tmp_path: Path, profile: str
) -> None:
    _sign_on(tmp_path)
    here = f"[services here]\nsts =\n  endpoint_url = {issuer.url}\nsso =\n  endpoint_url = {issuer.url}\n"
    (tmp_path / ".aws" / "config").write_text(
        f"[default]\nregion = eu-west-1\nservices = here\n{profile}{here}"
    )
    # In a process of its own: boto3 looks for the home once, as it is loaded.
    environment = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    said = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    # Each is another than before: what was given last ends within boto3's time for renewal.
    keys = json.loads(said.stdout)
    assert len(set(keys)) == 3
    assert keys[-1] == f"AK{issuer.given}"
