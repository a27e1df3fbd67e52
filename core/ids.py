"""Opaque ids: a prefix such as `job_` and 26 characters (48 bits of time, then 80 random bits).

Ids with the same prefix sort by creation time, so lists are paged by id.
"""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case


def new_id(prefix: str) -> str:
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    digits = (_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
    return f"{prefix}_{''.join(digits)}"
