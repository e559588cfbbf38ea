"""System calls and completions that fail, while random programs run over our loops.

A plan says which occurrence of which call fails, and how; it is made from a seed, as the
program of ``tests/fuzz`` is.  An injected failure may end a connection.  What must hold
whatever the plan:

- the peer has received what was written, in its order, up to where it ends;
- ``connection_lost`` was called once;
- nothing but what the program itself raised has left ``run_forever``;
- afterwards the loop serves others, the kernel holds nothing, no descriptor is left.

``./run faults`` builds aioadapt a second time with ``-Dfaults=true``
(``aioadapt/_testing/faults.c``); without that build the tests of this folder are skipped.
"""
