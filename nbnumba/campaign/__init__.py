"""Campaigns: many images of one description, each of which follows from that and its number alone.

- What a frame is: ``job`` reads the file (``entries``, ``words``, ``varying``), ``base`` is what all frames have in
  common, ``distributions`` and the keyed deviates of ``draws`` what varies; ``campaign`` makes frames of them, and
  ``identity`` says which campaigns are the same.
- Made: ``chunks`` are the files, ``rendering`` makes frames and ``writing`` a file, ``phases`` has the clock; ``work``
  does a chunk, ``running`` several, by ``shards``, ``dask`` or the script of ``slurm``; ``warming`` compiles before.
- Watched: ``folder`` guards whose it is, ``log`` tells what became of chunks, ``standing`` how far all are, and
  ``watching`` shows a run.
- Used: ``verifying`` looks at files (by ``look``), ``chunk_files`` reads them, ``master`` and ``tables`` show them all,
  ``again`` compares a frame with its file, ``experiments`` tells DIALS, ``dataset`` serves those who train.
"""
