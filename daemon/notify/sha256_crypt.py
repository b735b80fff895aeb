"""SHA-256 based Unix crypt, which ELOG logs in with. Source: U. Drepper, "Unix crypt using SHA-256 and SHA-512", 2008."""

from __future__ import annotations

import hashlib

ROUNDS = 5000
_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ORDER = (
    (0, 10, 20), (21, 1, 11), (12, 22, 2), (3, 13, 23), (24, 4, 14),
    (15, 25, 5), (6, 16, 26), (27, 7, 17), (18, 28, 8), (9, 19, 29),
)  # fmt: skip
"""Which bytes of the digest make each group of four characters (step 22 of the specification)."""


def sha256_crypt(password: str, salt: str = "") -> str:
    """The hash alone, 43 characters, without `$5$SALT$`: 5000 rounds, salt of at most 16 characters."""
    key, grain = password.encode(), salt.encode()[:16]
    digest = _seed(key, grain)
    p = _repeated(hashlib.sha256(key * len(key)).digest(), len(key))
    s = _repeated(hashlib.sha256(grain * (16 + digest[0])).digest(), len(grain))
    for number in range(ROUNDS):
        round_ = hashlib.sha256(p if number % 2 else digest)
        round_.update(s if number % 3 else b"")
        round_.update(p if number % 7 else b"")
        round_.update(digest if number % 2 else p)
        digest = round_.digest()
    groups = [_characters(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in _ORDER]
    return "".join(groups) + _characters(digest[31] << 8 | digest[30], 3)


def _seed(key: bytes, salt: bytes) -> bytes:
    """Steps 1 to 12: the digest that the rounds begin with."""
    other = hashlib.sha256(key + salt + key).digest()
    seed = hashlib.sha256(key + salt + _repeated(other, len(key)))
    length = len(key)
    while length:
        seed.update(other if length & 1 else key)
        length >>= 1
    return seed.digest()


def _repeated(digest: bytes, length: int) -> bytes:
    return (digest * (length // len(digest) + 1))[:length]


def _characters(value: int, count: int) -> str:
    return "".join(_ALPHABET[value >> 6 * place & 0x3F] for place in range(count))
