"""Signatures according to Standard Webhooks 1.0.0."""

import base64

from core.webhooks.signing import new_secret, sign


def test_the_example_of_the_specification_gets_its_published_signature() -> None:
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        '{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_every_new_secret_is_different_and_has_256_bits() -> None:
    secrets = {new_secret() for _ in range(10)}
    assert len(secrets) == 10
    for secret in secrets:
        assert secret.startswith("whsec_")
        assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
