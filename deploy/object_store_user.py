"""Create the user of the object store in docker-compose.yml, which may use one bucket only.

Versity S3 Gateway has an API for its users, and the S3 API for the policy of a bucket. Only this
program has the credentials of its root user. It may run again: it then sets the secret key and the
policy anew. Environment: OBJECTS_URL, BUCKET, ROOT_ACCESS_KEY, ROOT_SECRET_KEY, and
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the user. It needs nothing but Python.
"""

import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen
from xml.sax.saxutils import escape

REGION = "us-east-1"
USER_EXISTS = 409
ACTIONS = [
    *("s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
    "s3:AbortMultipartUpload",
]


@dataclass(frozen=True)
class Store:
    """An object store, and the credentials with which requests to it are signed."""

    url: str
    access_key: str
    secret_key: str

    def send(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> None:
        """Send a signed request (AWS Signature Version 4). Raises HTTPError."""
        text = "&".join(f"{quote(name)}={quote(query[name], safe='')}" for name in sorted(query))
        headers = self.sign(method, path, text, body, time.gmtime())
        headers["content-type"] = "application/octet-stream"  # urllib would send that of a form
        url = f"{self.url}{path}{'?' if text else ''}{text}"
        request = Request(url, body, headers, method=method)  # noqa: S310 - set by the operator
        urlopen(request, timeout=30).close()  # noqa: S310

    def sign(
        self, method: str, path: str, query: str, body: bytes, moment: time.struct_time
    ) -> dict[str, str]:
        """Return the headers of a request whose query is sorted and encoded."""
        stamp, day = time.strftime("%Y%m%dT%H%M%SZ", moment), time.strftime("%Y%m%d", moment)
        headers = {
            "host": urlsplit(self.url).netloc,
            "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
            "x-amz-date": stamp,
        }
        names = ";".join(headers)
        lines = [f"{name}:{value}" for name, value in headers.items()]
        canonical = [method, path, query, *lines, "", names, headers["x-amz-content-sha256"]]
        digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
        scope = [day, REGION, "s3", "aws4_request"]
        text = "\n".join(("AWS4-HMAC-SHA256", stamp, "/".join(scope), digest))
        signature = f"AWS4{self.secret_key}".encode()
        for part in (*scope, text):  # each signature is the key of the next one
            signature = hmac.digest(signature, part.encode(), "sha256")
        credential = f"{self.access_key}/{'/'.join(scope)}"
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, "
            f"Signature={signature.hex()}"
        )
        return headers


def create_user(root: Store, access_key: str, secret_key: str) -> None:
    """Create a user without rights, who cannot create buckets, or change the one that exists."""
    secret, user = escape(secret_key), escape(access_key)
    fields = f"<Secret>{secret}</Secret><Role>user</Role>"
    try:
        body = f"<Account><Access>{user}</Access>{fields}</Account>".encode()
        root.send("PATCH", "/create-user", {}, body)
    except HTTPError as error:
        if error.code != USER_EXISTS:
            raise
        body = f"<MutableProps>{fields}</MutableProps>".encode()
        root.send("PATCH", "/update-user", {"access": access_key}, body)


def policy_of(bucket: str, access_key: str) -> dict[str, Any]:
    """Return a policy by which the user may list the bucket and use its objects.

    It is one statement, because the gateway wants the right to delete several objects at once for
    the bucket, and not only for each of them.
    """
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": [access_key]},
        "Action": ACTIONS,
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def main() -> None:
    env = os.environ
    root = Store(env["OBJECTS_URL"].rstrip("/"), env["ROOT_ACCESS_KEY"], env["ROOT_SECRET_KEY"])
    access_key, bucket = env["AWS_ACCESS_KEY_ID"], env["BUCKET"]
    create_user(root, access_key, env["AWS_SECRET_ACCESS_KEY"])
    policy = json.dumps(policy_of(bucket, access_key)).encode()
    root.send("PUT", f"/{bucket}", {"policy": ""}, policy)
    sys.stdout.write(f"The user {access_key} may use the bucket {bucket} only.\n")


if __name__ == "__main__":
    main()
