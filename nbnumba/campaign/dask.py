"""A campaign by Dask: workers on this machine, or those of a scheduler that runs already.

A chunk is a task. Whose worker is lost is given to another; one that is there already is no work, so that it does not
matter whether a worker was lost before or after it was done.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import secrets
import signal
import socket
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from ..environment import environment
from ..errors import NbnumbaError, ResourceError, UsageError
from ..interruption import undisturbed
from ..render.backends import How
from .campaign import Campaign
from .folder import read_mark, this_program
from .running import Failed, Outcome, run_chunks
from .work import campaign_in

INSTALL = "pip install 'nbnumba[dask]'"
LOST = "the scheduler of Dask is lost: what is done is kept, run again for the rest"
CONNECT_S, CLOSE_S = 5.0, 20.0
"""A worker that does not end within four seconds is killed."""
RETRIES = 2
"""Of what no error of ours explains."""
_TASKS_A_THREAD = 4
"""Under way or waiting: a long campaign is not told to the scheduler at once."""
_LOOK_S = 0.2
_ENVIRONMENT = {
    **dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "critical",
}
"""Of workers here. What Dask says of workers that come and go is no news to who runs a campaign."""
_LOUD = ("distributed", "distributed.client", "distributed.gc", "distributed.nanny", "distributed.worker")


class Site(NamedTuple):
    """What a worker has and sees, which is to be the same everywhere."""

    program: str
    kernels: str
    identity: str
    """Of the campaign in the file that it sees under the job's name."""
    folder: str
    """Identity that the folder tells; "": there is none."""


@contextmanager
def workers_here(count: int) -> Iterator[Any]:
    """So many processes of one thread on this machine, gone when the block ends.

    Yields
    ------
    distributed.Client

    Raises
    ------
    UsageError
        No workers are asked for.
    ResourceError
        Dask is not installed, or the machine gives no such processes.
    """
    if count < 1:
        raise UsageError(f"-local is {count}: must be 1 worker or more")
    with environment(_ENVIRONMENT), _quiet():
        distributed = _distributed()
        dashboard = "127.0.0.1:0" if importlib.util.find_spec("bokeh") else None
        try:
            with undisturbed(), _unheard_by_children():
                cluster = distributed.LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=0,
                    host="127.0.0.1",
                    dashboard_address=dashboard,
                    silence_logs=logging.CRITICAL,
                )
        except (OSError, RuntimeError) as error:
            raise ResourceError(f"-local {count}: the workers do not start: {error}") from error
        try:
            with _closing(distributed.Client(cluster)) as client:
                yield client
        finally:
            with suppress(TimeoutError):
                cluster.close(timeout=CLOSE_S)


@contextmanager
def workers_of(address: str) -> Iterator[Any]:
    """The workers of a scheduler, such as tcp://node:8786.

    Yields
    ------
    distributed.Client

    Raises
    ------
    UsageError
        The address is none.
    ResourceError
        Dask is not installed, or nothing answers there.
    """
    with _quiet():
        distributed = _distributed()
        if not _is_scheduler(address):
            raise ResourceError(f"-dask {address}: no scheduler of Dask answers there; start one with: dask scheduler")
        with _closing(distributed.Client(address, timeout=CONNECT_S)) as client:
            yield client


def told_of(client: Any) -> str:
    """Who works, and where that can be watched, for the first line of a log."""
    threads = client.nthreads()
    hosts = {address.rpartition(":")[0] for address in threads}
    link = client.dashboard_link if importlib.util.find_spec("bokeh") else ""
    workers, machines = (f"{count} {noun}{'s' * (count != 1)}" for count, noun in
                         ((len(threads), "worker"), (len(hosts), "machine")))  # fmt: skip
    said = f"{workers} of Dask on {machines}" if threads else "no worker of Dask yet: waiting"
    return said + (f"; dashboard: {link}" if link else "")


def check_workers(client: Any, campaign: Campaign, addresses: Iterable[str]) -> set[str]:
    """Find out whether workers have this nbnumba and see this campaign and its folder, which is marked already.

    Returns
    -------
    set of str
        Addresses of those that answered.

    Raises
    ------
    ResourceError
        One does not: names it.
    """
    # By its text: to unpickle a function of ours takes nbnumba.
    asked = f"__import__('nbnumba.campaign.dask', fromlist=['site']).site({str(campaign.job.path)!r})"
    here, good = Site(**this_program(), identity=campaign.identity, folder=campaign.identity), set()
    for address, there in client.run(eval, asked, workers=list(addresses), on_error="return").items():
        if isinstance(there, OSError):
            # It is gone, or going.
            continue
        why = _why_unfit(campaign, here, there)
        if why:
            raise ResourceError(f"the worker {address} {why}")
        good.add(address)
    return good


def _why_unfit(campaign: Campaign, here: Site, there: Site | BaseException) -> str:
    if isinstance(there, ImportError):
        return f"has no nbnumba that does campaigns ({there}): install it there"
    if isinstance(there, BaseException):
        return f"cannot take part: {there}"
    if there[:2] != here[:2]:
        theirs, ours = (" with kernels ".join(site[:2]) for site in (there, here))
        return f"has {theirs}, here it is {ours}: install one version everywhere"
    if there.identity != here.identity:
        return f"sees another campaign, or other input, in {campaign.job.path}"
    return "" if there.folder == here.folder else f"does not see the folder {campaign.folder}: share it by a network"


def site(job: str | os.PathLike[str]) -> Site:
    """What this process has and sees; called on workers, too."""
    campaign = campaign_in(job)
    try:
        folder = str(read_mark(campaign.folder)["identity"])
    except NbnumbaError:
        folder = ""
    return Site(**this_program(), identity=campaign.identity, folder=folder)


def chunks_done(client: Any, campaign: Campaign, numbers: Iterable[int], how: How) -> Iterator[Outcome]:
    """Have chunks done, and tell of each as it ends; what is under way when the caller stops is dropped.

    Raises
    ------
    NbnumbaError
        What no chunk would survive, on a worker; one that cannot take part; the scheduler is lost.
    """
    from distributed import CancelledError

    try:
        yield from _sent(client, campaign, numbers, how)
    except (OSError, CancelledError) as error:
        raise ResourceError(LOST) from error


def _sent(client: Any, campaign: Campaign, numbers: Iterable[int], how: How) -> Iterator[Outcome]:
    """The same, with Dask's own errors where the scheduler is lost."""
    ended: SimpleQueue[Any] = SimpleQueue()
    under_way: dict[Any, int] = {}
    waiting = iter(numbers)
    run, known = secrets.token_hex(4), set[str]()
    try:
        while True:
            threads = client.nthreads()
            if not known.issuperset(threads):
                # One that cannot do a chunk would fail all of them faster than others do them.
                known |= check_workers(client, campaign, threads.keys() - known)
            room = max(2, _TASKS_A_THREAD * sum(threads.values())) - len(under_way)
            for number in islice(waiting, max(room, 0)):
                task = client.submit(_chunk, str(campaign.job.path), campaign.identity, number, how,
                                     key=f"chunk-{run}-{number}", pure=False, retries=RETRIES)  # fmt: skip
                under_way[task] = number
                task.add_done_callback(ended.put)
            if not under_way:
                return
            while client.status == "running":
                with suppress(Empty):
                    task = ended.get(timeout=_LOOK_S)
                    break
            else:
                raise ConnectionError
            yield _outcome(under_way.pop(task), task)
            task.release()
    finally:
        if under_way and client.status == "running":
            with suppress(OSError):
                client.cancel(list(under_way))


def _outcome(number: int, task: Any) -> Outcome:
    if task.status == "error":
        error = task.exception()
        return Failed(number, -1, f"{type(error).__name__}: {' '.join(str(error).split())}", "")
    result = task.result()
    if isinstance(result, NbnumbaError):
        raise result
    return result


def _chunk(job: str, identity: str, number: int, how: How) -> Outcome | NbnumbaError:
    """Do a chunk; on a worker. What nbnumba refuses is returned: raised, it would be tried again."""
    from distributed import get_worker

    _hush()
    worker = get_worker()

    def told(frames: int) -> None:
        if worker.status.name.startswith("clos"):
            raise ResourceError("the worker is told to end")

    try:
        campaign = campaign_in(job)
        if campaign.identity != identity:
            raise ResourceError(f"{job} or its input is not what it was when the run began")
        return next(run_chunks(campaign, [number], _with_card(how, worker.name), told))
    except NbnumbaError as error:
        return type(error)(f"{error} (on {socket.gethostname()})")


def _with_card(how: How, name: object) -> How:
    """With the card of a worker that has a number; one of `dask cuda worker` has none, and sees its own card first."""
    if how.backend != "cuda" or how.device == "all" or not isinstance(name, int):
        return how
    from ..render.cuda.cards import card_numbers

    cards = card_numbers()
    return replace(how, device=cards[name % len(cards)]) if cards else how


def _is_scheduler(address: str) -> bool:
    """Whether one answers: a client that does not find it goes on asking for a while, and then says so at length."""
    from distributed.core import rpc

    async def kind() -> str:
        async with rpc(address, timeout=CONNECT_S) as there:
            return str((await there.identity())["type"])

    try:
        return asyncio.run(asyncio.wait_for(kind(), CONNECT_S)) == "Scheduler"
    except ValueError as error:
        raise UsageError(f"-dask is {address!r}: must be an address such as tcp://node:8786 ({error})") from error
    except Exception:
        # Something else may listen there, and what it says be anything.
        return False


@contextmanager
def _unheard_by_children() -> Iterator[None]:
    """Processes that are started by the block, and by threads that it starts, never hear of these signals.

    Ctrl-C and the signals of schedulers come to all processes of a run at once; it is this one that ends the others.
    Here they wait for the end of the block.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGUSR1})
    try:
        # Python's own helper, which bears Ctrl-C and opens the way for it when it starts.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ResourceError(f"Dask is not installed ({error}): {INSTALL}") from error
    _hush()
    return distributed


def _hush() -> None:
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def _closing(client: Any) -> Iterator[Any]:
    try:
        yield client
    finally:
        with suppress(OSError):
            client.close(timeout=1.0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of Dask and its kin."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(distributed|dask|tornado|asyncio|bokeh)\b")
        yield
