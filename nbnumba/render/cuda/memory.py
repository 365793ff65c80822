"""What lies in a card's memory, and in page-locked memory beside it, from one image to the next."""

import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...arrays import HoldsArrays
from ...kernels.plan import Plan
from . import cards

COMPARED_BYTES = 1 << 20
"""Up to so many an array is compared with the one that the card has, to stay there if it is the same."""
PINNED = ("window", "counts", "tallies on the host")
"""Arrays of a place that lie in the host's memory, page-locked: the card reaches them by itself."""
LENT_BYTES, MOST_LENT = 1 << 20, 4
"""The finished images of a launch, of so many bytes or more, are not copied out of page-locked memory, as long as those
of not more of a place's launches than that are in somebody's hands."""
SPARE_BYTES = 1 << 30
"""Of the memory that is kept on a card from one single image to the next."""


def same_array(array: np.ndarray, other: np.ndarray) -> bool:
    """Whether one can stand for the other, as far as it is worth finding out."""
    if array is other:
        return True
    alike = array.dtype == other.dtype and array.shape == other.shape and array.nbytes <= COMPARED_BYTES
    return alike and (array.nbytes == 0 or array.tobytes() == other.tobytes())


@dataclass(frozen=True, eq=False, repr=False)
class Factors(HoldsArrays):
    """A table of structure factors that a card holds."""

    table: np.ndarray
    default: float
    arithmetic: int
    on_card: Any

    def serve(self, plan: Plan, arithmetic: int) -> bool:
        """Whether they are those of ``plan``."""
        same = self.table is plan.factors.table and self.default == plan.factors.default
        return same and bool(self.arithmetic) == bool(arithmetic)


class Place:
    """Memory on a card, and what goes on in it: used again for one image after another."""

    def __init__(self) -> None:
        self._forget()

    def clear(self) -> None:
        """Give the memory back; to be called on the card."""
        self._forget()
        cards.cuda_provider().give_back()

    def _forget(self) -> None:
        self.arrays: dict[str, Any] = {}
        self.sent: dict[str, np.ndarray] = {}
        self.room: tuple[tuple[int, ...], int] | None = None
        """What the last batch asked for, and the capacity that it got."""
        self.windows: list[np.ndarray] = []
        """Page-locked memory of images that nobody holds any more."""
        self.lent = 0
        """How many of its windows are in somebody's hands, or have come back."""
        self.warm: set[Any] = set()
        """Kernels that have run here."""
        self.factors: Factors | None = None
        self.stream: Any = None

    @property
    def nbytes(self) -> int:
        """Memory that it holds on the card, structure factors apart."""
        return sum(array.nbytes for name, array in self.arrays.items() if name not in PINNED)

    def give_back(self) -> None:
        """Hold no more on the card than structure factors."""
        self.arrays = {name: array for name, array in self.arrays.items() if name in PINNED}
        self.sent, self.room = {}, None

    def put(self, name: str, array: np.ndarray) -> Any:
        """A host array, copied to the card unless it is there."""
        kept = self.arrays.get(name)
        if kept is not None and same_array(self.sent[name], array):
            return kept
        if kept is not None and (kept.shape, kept.dtype) == (array.shape, array.dtype):
            cards.cuda_provider().copy_to_card(kept, array, self.stream)
        else:
            self.arrays.pop(name, None)
            self.arrays[name] = cards.cuda_provider().cuda.to_device(array, stream=self.stream)
        self.sent[name] = array
        return self.arrays[name]

    def space(self, name: str, size: int, kind: type, make: Callable[..., Any] | None = None) -> Any:
        """Room for ``size`` numbers of a kind, at least; on the card unless ``make`` makes it elsewhere."""
        kept = self.arrays.get(name)
        if kept is None or kept.size < size or kept.dtype != kind:
            self.arrays.pop(name, None)
            self.arrays[name] = (make or cards.cuda_provider().cuda.device_array)(size, kind)
        return self.arrays[name]

    def make_window(self, size: int, kind: type) -> np.ndarray:
        """Page-locked memory for the images of a launch: such as came back, or new."""
        while self.windows:
            window = self.windows.pop()
            self.lent -= 1
            if window.size >= size and window.dtype == kind:
                return window
        return cards.cuda_provider().cuda.pinned_array(size, kind)

    def lend_window(self) -> np.ndarray | None:
        """The window, to be kept by whoever takes parts of it until nobody does; None where too many are in hands."""
        if self.lent - len(self.windows) >= MOST_LENT:
            return None
        self.lent += 1
        return np.asarray(_Lent(self.arrays.pop("window"), self.windows))


class _Lent:
    """Page-locked memory of images, which goes back when nobody holds any of them or a part of one any more."""

    def __init__(self, window: np.ndarray, windows: list[np.ndarray]) -> None:
        self.__array_interface__ = window.__array_interface__
        self._window, self._windows = window, windows

    def __del__(self) -> None:
        self._windows.append(self._window)


_spare_places: dict[int, list[Place]] = defaultdict(list)
_spare_lock = threading.Lock()


@contextlib.contextmanager
def spare_place(device: int) -> Iterator[Place]:
    """Memory on the current card that an earlier single image has left, or new; left to the next if all went well."""
    with _spare_lock:
        place = _spare_places[device].pop() if _spare_places[device] else Place()
    try:
        yield place
    except BaseException:
        # On a card that is lost this, too, may fail.
        with contextlib.suppress(Exception):
            place.clear()
        raise
    with _spare_lock:
        factors = 0 if place.factors is None else place.factors.on_card.nbytes
        if not _spare_places[device] and place.nbytes + factors <= SPARE_BYTES:
            _spare_places[device].append(place)
            return
    place.clear()
