"""Random programs over asyncio's API, played on asyncio and on each of our loops.

program.py   what a program is, how a seed makes one, how it prints as a script
verbs.py     what a program can do
world.py     the loop, its connections and their peers while one program runs
log.py       what was seen, per connection
compare.py   where our loops differ from asyncio
shrink.py    the shortest program that still differs
isolated.py  a program played in a child process, which may crash or hang
"""
