"""Plans whose sources have structure factors of their own, and the plans of single wavelengths that they stand for."""

from __future__ import annotations

import numpy as np

from nbnumba.kernels.plan import Plan

BOX, FIRST = (9, 11, 13), (-4, -5, -6)
"""Of the table that a constant F becomes."""


def with_channels(plan: Plan, channels: int, interpolate: int | None = None, seed: int = 1) -> Plan:
    """The plan with tables that have little in common, dealt out to its sources at random."""
    random, factors = np.random.default_rng(seed), plan.factors
    table, first = (factors.table[0], factors.first) if factors.table.size else (np.full(BOX, factors.default), FIRST)
    tables = table * random.uniform(0.1, 3.0, (channels, *table.shape))
    chosen = factors.interpolate if interpolate is None else interpolate
    channel = random.permutation(np.arange(len(plan.sources.weight)) % channels)
    return plan._replace(
        factors=factors._replace(table=tables, first=first, interpolate=chosen),
        sources=plan.sources._replace(channel=channel),
    )


def of_channel(plan: Plan, channel: int) -> Plan:
    """The sources of one channel, and its table alone; the other sources are dark."""
    sources, table = plan.sources, plan.factors.table[channel : channel + 1]
    lit = np.where(sources.channel == channel, sources.weight, 0.0)
    return plan._replace(
        factors=plan.factors._replace(table=table),
        sources=sources._replace(weight=lit, channel=np.zeros_like(sources.channel)),
    )
