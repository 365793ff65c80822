"""Leaving out samples that provably change no pixel by more than a stated number of photons."""
