"""One small file for each consumer that does not let its loop be chosen by itself.

Most do: ``docs/integrations.md`` has the line for each.  What stands here is for
the others.  Each file makes its consumer use :func:`aioadapt.new_event_loop`, so
``$AIOADAPT_ENGINE`` names the engine, and leaves everything else to the consumer.
"""
