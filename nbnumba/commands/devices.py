"""``nbnumba devices``: what there is to render on a GPU with, and what is missing."""

from ..render.cuda.cards import cards, versions, why_unusable
from .base import Parser


def main(argv: list[str]) -> int:
    """Print the provider of CUDA and what it uses, the cards, and whether they can render."""
    description = "Tell what there is to render on a GPU with, and what is missing."
    Parser(prog="nbnumba devices", description=description).parse_args(argv)
    for what, version in versions().items():
        print(f"{what:10s}{version}")
    for card in cards():
        if isinstance(card, str):
            print(card)
            continue
        major, minor = card.compute_capability
        memory, free = card.memory_bytes / 2**30, card.free_bytes / 2**30
        print(
            f"card {card.number:<5d}{card.name}, compute capability {major}.{minor}, "
            f"{memory:.1f} GiB of memory, {free:.1f} GiB free"
        )
    reason = why_unusable()
    print(f"{'usable':10s}{'yes' if reason is None else 'no: ' + reason}")
    return 0
