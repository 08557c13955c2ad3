"""How patient, how careful and how polite a crawl is."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Quota(BaseModel):
    """How often a host may be asked, in any span of that length; None: as often as one likes."""

    per_minute: int | None = Field(60, ge=1, description="requests in any minute")
    per_day: int | None = Field(None, ge=1, description="requests in any 24 hours")


UNLIMITED = Quota(per_minute=None, per_day=None)
# What FreeSound gives a key (https://freesound.org/docs/api/overview.html#throttling).
KNOWN_QUOTAS = {"freesound.org": Quota(per_minute=60, per_day=2_000)}


class NetworkSettings(BaseModel):
    """How patient, how careful and how polite a crawl is."""

    contact: str = Field("", description="an address for site owners, sent in the User-Agent")
    connect_timeout_s: float = Field(10.0, gt=0, description="how long connecting may take (s)")
    read_timeout_s: float = Field(60.0, gt=0, description="how long the server may be silent (s)")
    page_timeout_s: float = Field(300.0, gt=0, description="how long a page may take as a whole (s)")
    audio_timeout_s: float = Field(4 * 3600.0, gt=0, description="how long a file may take as a whole (s)")
    attempts: int = Field(4, ge=1, description="how often a request that can heal is made")
    first_wait_s: float = Field(
        0.5, ge=0, description="wait before the second attempt (s); doubles from there"
    )
    longest_wait_s: float = Field(
        120.0, ge=0, description="longest wait in place (s); what takes longer pauses the partition"
    )
    failures_in_a_row: int = Field(
        5, ge=1, description="requests given up one after another after which a host counts as down"
    )
    pause_s: float = Field(
        1800.0,
        gt=0,
        description="how long a host is left alone that is down, or throttles without a date (s)",
    )
    page_bytes: int = Field(32 * 2**20, gt=0, description="largest page or API answer (bytes)")
    audio_bytes: int = Field(4 * 2**30, gt=0, description="largest audio file (bytes)")
    quotas: dict[str, Quota] = Field(
        KNOWN_QUOTAS, description="by host, or host:port where it is no usual one; FreeSound's is known"
    )
    other_quota: Quota = Field(Quota(), description="of a host without a quota of its own")
    private_hosts: frozenset[str] = Field(
        frozenset(),
        description="host:port of servers that may have a private address, such as the demo's; "
        "all others must be public",
    )

    @property
    def user_agent(self) -> str:
        contact = f"; {self.contact}" if self.contact else ""
        return f"wavcaps-on-dagster/0.1 (audio-captioning data set research{contact})"

    def quota_of(self, host: str) -> Quota:
        return self.quotas.get(host, self.other_quota)
