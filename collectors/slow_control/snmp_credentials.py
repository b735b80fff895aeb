"""What proves to an SNMP agent who we are, and by which protocols."""

from __future__ import annotations

from typing import NamedTuple

from pysnmp.entity import config

AUTH_PROTOCOLS = {
    "md5": config.USM_AUTH_HMAC96_MD5,
    "sha": config.USM_AUTH_HMAC96_SHA,
    "sha224": config.USM_AUTH_HMAC128_SHA224,
    "sha256": config.USM_AUTH_HMAC192_SHA256,
    "sha384": config.USM_AUTH_HMAC256_SHA384,
    "sha512": config.USM_AUTH_HMAC384_SHA512,
}
PRIVACY_PROTOCOLS = {
    "des": config.USM_PRIV_CBC56_DES,
    "aes": config.USM_PRIV_CFB128_AES,
    "aes192": config.USM_PRIV_CFB192_AES,
    "aes256": config.USM_PRIV_CFB256_AES,
}


class Community(NamedTuple):
    """What an agent of version 2c asks for."""

    name: str


class User(NamedTuple):
    """What an agent of version 3 asks for; passwords are empty where there is no authentication or privacy."""

    name: str
    auth_protocol: str
    auth_password: str
    privacy_protocol: str
    privacy_password: str

    @property
    def level(self) -> str:
        """The security level, by its name in RFC 3411."""
        return "authPriv" if self.privacy_password else "authNoPriv" if self.auth_password else "noAuthNoPriv"
