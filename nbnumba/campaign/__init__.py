"""Campaigns: many images of one description, each of which follows from that and its number alone."""
