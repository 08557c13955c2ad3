"""Proxies of the environment, which the network client does not use.

A proxy resolves host names itself, so a crawled link could reach private addresses through it.
"""

from __future__ import annotations

from urllib.request import getproxies_environment, proxy_bypass

from wavcaps_assets.network.errors import ProxyNotSupported


def refuse_proxy(scheme: str, host: str) -> None:
    """Refuses a request that the environment's settings send through a proxy.

    Raises:
        ProxyNotSupported: HTTP_PROXY, HTTPS_PROXY or ALL_PROXY applies to this host, and NO_PROXY does not.
    """
    proxies = getproxies_environment()
    name = next((name for name in (scheme, "all") if proxies.get(name)), None)
    if name is None or proxy_bypass(host):
        return
    raise ProxyNotSupported(
        f"{name.upper()}_PROXY is set, and a crawl cannot go through a proxy: a proxy resolves host names "
        f"itself, so links to private addresses could not be refused. Unset it, or add {host} (or *) to "
        "NO_PROXY, to connect directly"
    )
