"""Settings of the network client: timeouts, retries, limits and quotas."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Quota(BaseModel):
    """The most requests to a host in any minute and any day; None: no limit."""

    per_minute: int | None = Field(60, ge=1, description="requests in any minute")
    per_day: int | None = Field(None, ge=1, description="requests in any 24 hours")


UNLIMITED = Quota(per_minute=None, per_day=None)
# FreeSound's quota of a key (https://freesound.org/docs/api/overview.html#throttling).
KNOWN_QUOTAS = {"freesound.org": Quota(per_minute=60, per_day=2_000)}


class NetworkSettings(BaseModel):
    """Timeouts, retries, size limits and quotas of a crawl."""

    contact: str = Field("", description="your address for site owners, sent in the User-Agent")
    connect_timeout_s: float = Field(10.0, gt=0, description="longest time to connect (s)")
    read_timeout_s: float = Field(60.0, gt=0, description="longest time without data from the server (s)")
    page_timeout_s: float = Field(300.0, gt=0, description="longest time for a page as a whole (s)")
    audio_timeout_s: float = Field(4 * 3600.0, gt=0, description="longest time for a file as a whole (s)")
    attempts: int = Field(4, ge=1, description="attempts of a request that fails with a temporary error")
    first_wait_s: float = Field(
        0.5, ge=0, description="wait before the second attempt (s); doubles with each further attempt"
    )
    longest_wait_s: float = Field(
        120.0, ge=0, description="longest wait within a run (s); a longer one pauses the partition"
    )
    failures_in_a_row: int = Field(
        5, ge=1, description="failed requests in a row after which a host counts as down"
    )
    pause_s: float = Field(
        1800.0,
        gt=0,
        description="pause of a host that is down, or that throttles without Retry-After (s)",
    )
    page_bytes: int = Field(32 * 2**20, gt=0, description="largest page or API response (bytes)")
    audio_bytes: int = Field(4 * 2**30, gt=0, description="largest audio file (bytes)")
    quotas: dict[str, Quota] = Field(
        KNOWN_QUOTAS, description="by host, or host:port for an unusual port; FreeSound's is built in"
    )
    other_quota: Quota = Field(Quota(), description="quota of each other host")
    private_hosts: frozenset[str] = Field(
        frozenset(),
        description="host:port of servers that may have a private address, such as the demo's; "
        "all others must have a public one",
    )

    @property
    def user_agent(self) -> str:
        contact = f"; {self.contact}" if self.contact else ""
        return f"wavcaps-on-dagster/0.1 (audio-captioning data set research{contact})"

    def quota_of(self, host: str) -> Quota:
        return self.quotas.get(host, self.other_quota)
