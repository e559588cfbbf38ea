"""Random programs over asyncio's API, played on asyncio and on each of our loops.

program.py    what a program is, how a seed makes one, how it prints as a script
rooms.py      how its steps are chosen: verbs are in rooms, and a program stays in a few
verbs.py      what it can do: stream_verbs.py, datagram_verbs.py, sock_verbs.py,
              fd_verbs.py, tls_verbs.py, reader_verbs.py
world.py      the loop and its clock while one program runs
actors.py     what is on the loop: connections, datagram endpoints, raw sockets
recorders.py  protocols that log every call
peers.py      the other ends
log.py        what was seen, in one trace for each of them
compare.py    where our loops differ from asyncio
known.py      the differences that are meant to be
shrink.py     the shortest program that still differs
isolated.py   a program played in a child process, which may crash or hang
"""
