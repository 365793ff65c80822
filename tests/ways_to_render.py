"""``python ways_to_render.py WAY``: renders one image in the main thread or elsewhere, and prints its hash."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings

import nbnumba

warnings.simplefilter("ignore")


def image(pixels: int = 32, domains: int = 1) -> str:
    words = f"-cell 70 80 90 75 85 95 -default_F 100 -N 5 -pixel 1 -detpixels {pixels} -mosaic 1 -oversample 1"
    experiment = nbnumba.Experiment.from_args([*words.split(), "-mosaic_domains", str(domains)])
    return hashlib.sha256(nbnumba.simulate(experiment, "cpu").photons.tobytes()).hexdigest()


def of_a_fork(generations: int = 1) -> str:
    receive, send = os.pipe()
    if os.fork() == 0:
        found = image()
        if generations > 1 and of_a_fork(generations - 1) != found:
            found = "another"
        os.write(send, found.encode())
        os._exit(0)
    os.close(send)
    said = b""
    while more := os.read(receive, 100):
        said += more
    os.wait()
    return said.decode()


def after_a_render() -> str:
    return of_a_fork() if image() else ""


def of_a_child_that_rendered() -> str:
    return of_a_fork(3) if image() else ""


def during_a_render() -> str:
    image(32, 2)
    long = threading.Thread(target=image, args=(600, 5000), daemon=True)
    long.start()
    time.sleep(0.3)
    found = of_a_fork()
    assert long.is_alive(), "the render was not long enough"
    print(found, flush=True)
    os._exit(0)


def during_the_first_render() -> str:
    """While it loads its kernels, or compiles them; Python itself asks that imports be done before."""
    nbnumba.Experiment.from_args(["-N", "1"]), nbnumba.simulate
    first = threading.Thread(target=image)
    first.start()
    time.sleep(0.05)
    found = of_a_fork()
    first.join()
    return found


def in_threads() -> str:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(image())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    return " ".join(set(found))


def in_a_pool(method: str) -> str:
    image()
    with multiprocessing.get_context(method).Pool(2) as pool:
        return " ".join(set(pool.starmap(image, [()] * 4)))


def after_interrupts() -> str:
    """Ctrl-C again and again, from the first simulation on; the options are read before."""
    nbnumba.Experiment.from_args(["-N", "1"])

    def press() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    for delay in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5):
        timer = threading.Timer(delay, press)
        try:
            timer.start()
            image(600, 5000)
        except KeyboardInterrupt:
            timer.join()
        else:
            raise AssertionError("the render was not long enough")
    return image()


WAYS = {
    "plain": image,
    "fork": after_a_render,
    "fork of a fork": of_a_child_that_rendered,
    "fork during a render": during_a_render,
    "fork during the first render": during_the_first_render,
    "threads": in_threads,
    "pool of forks": lambda: in_a_pool("fork"),
    "forkserver": lambda: in_a_pool("forkserver"),
    "spawn": lambda: in_a_pool("spawn"),
    "interrupts": after_interrupts,
}

if __name__ == "__main__":
    print(WAYS[sys.argv[1]]())
