"""Where a notice may go: https on the usual port, to an address of the public internet.

The name is resolved once and the connection goes to that very address, so that nothing can be
checked under one address and reached under another (G1, G2).
"""

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HTTPS_PORT = 443
# Cloud metadata that answers under a public address.
_METADATA = frozenset({ipaddress.ip_address("168.63.129.16")})
_REFUSED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
)  # fmt: skip
# Global unicast alone: it leaves out loopback, mapped, NAT64, local, link-local and multicast.
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_LINK_LOCAL = tuple(ipaddress.ip_network(n) for n in ("169.254.0.0/16", "fe80::/10"))


class AddressRefused(Exception):
    """The sentence says what is wrong with the address; nothing was sent."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """`address` is what to connect to; `host` is whom to name in TLS and in the Host header."""

    secure: bool
    host: str
    port: int
    path: str
    address: str

    @property
    def authority(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == (_HTTPS_PORT if self.secure else 80)
        return name if usual else f"{name}:{self.port}"


def check(url: str) -> None:
    """What the URL alone can tell. Raises AddressRefused."""
    _parts(url)


def resolve(url: str) -> Target:
    """Every address of the name must be allowed, then the first is taken."""
    secure, host, port, path = _parts(url)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise AddressRefused(_("The host name has no address.")) from None
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not is_allowed(address):
            raise AddressRefused(_("The host name leads to an address that is not public."))
    return Target(secure=secure, host=host, port=port, path=path, address=addresses[0])


def is_allowed(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.is_loopback and settings.NOTICES_TO_LOOPBACK:
        return True
    if ip in _METADATA or any(ip in network for network in _LINK_LOCAL):
        return False
    if any(ip in ipaddress.ip_network(network) for network in settings.NOTICES_NETWORKS):
        return True
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _PUBLIC_V6:
        return False
    return not any(ip in network for network in _REFUSED)


def _parts(url: str) -> tuple[bool, str, int, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused(_("This is not a URL.")) from None
    if not url.isascii() or not url.isprintable() or " " in url or not parts.hostname:
        raise AddressRefused(_("This is not a URL."))
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise AddressRefused(_("A URL without user name, password and fragment."))
    secure = parts.scheme == "https"
    local = settings.NOTICES_TO_LOOPBACK and parts.scheme == "http"
    if not secure and not local:
        raise AddressRefused(_("Only https is allowed."))
    port = port or (_HTTPS_PORT if secure else 80)
    if secure and not local and port not in {_HTTPS_PORT, *settings.NOTICES_PORTS}:
        raise AddressRefused(_("This port is not allowed."))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return secure, parts.hostname, port, path
