"""Adapters for servers that have no setting of their own for the event loop.

Most have one, see ``docs/integrations.md``; these adapters are for the others.  Each
makes its server use :func:`aioadapt.new_event_loop`, so ``$AIOADAPT_ENGINE`` chooses
the engine, and changes nothing else.
"""
