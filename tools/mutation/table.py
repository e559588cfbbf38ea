"""The faults: small edits, each of which a test should find.

They are of the kinds that reviews have found in loops like this one: bytes lost or in
the wrong order, something held for ever, a state that is not left, a limit off by one,
an error swallowed, a fallback not taken.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    file: str  # under aioadapt/
    old: str  # occurs exactly once there
    new: str
    equivalent: str = ""  # why no test can tell the difference, if none can


M = Mutant

MUTANTS: list[Mutant] = [
    # -- _kernel
    M("_kernel/op.pyx", "        self.cancels_missed = 0\n", ""),
    M("_kernel/poller.pyx", "events &= watch.interest | EPOLLERR | EPOLLHUP", "pass"),
    M("_kernel/poller.pyx", "if watch.interest != 0 and events != 0:", "if events != 0:"),
    M("_kernel/poller.pyx", "if watch is None or watch.registration != events[i].data.u64 >> 32:",
      "if watch is None:"),
    M("_kernel/poller.pyx", "        if registered_for(self.watches, watch.fd) is not watch:\n",
      "        if False:\n"),
    M("_kernel/poller.pyx", "cdef int what = EPOLL_CTL_MOD", "cdef int what = EPOLL_CTL_ADD"),
    M("_kernel/poller.pyx", "            Py_INCREF(watch)\n",
      "            pass\n"),
    M("_kernel/receive_buffers.pyx", "        self.taken -= 1\n", ""),
    M("_kernel/receive_buffers.pyx", "    madvise(memory, size, MADV_DONTFORK)\n",
      "    pass\n"),
    M("_kernel/ring.pyx", "                    if (<Op> completion.op).state == OP_CANCELLING:\n"
      "                        self.cancelling -= 1\n", ""),
    M("_kernel/ring.pyx", "                    (<Op> completion.op).last_is_reaped = True\n", ""),
    M("_kernel/ring.pyx", "            if not op.last_is_reaped:\n", "            if True:\n"),
    M("_kernel/ring.pyx", "            self.queue_backlog()\n            if self.backlog:\n"
      "                timeout_ns = 0\n", "            pass\n"),
    M("_kernel/ring.pyx", "        if op.cancels_missed < CANCELS_AT_MOST:",
      "        if op.cancels_missed < 0:"),
    M("_kernel/wakeup.pyx", " and errno == EINTR", " and False",
      "an eventfd of ours does not block, and such a write is not interrupted"),
    # -- _loop
    M("_loop/core.pyx", "if timeout_ns != 0 and not self.inbox.try_park():",
      "if timeout_ns != 0 and False:"),
    M("_loop/core.pyx", "                self.put_back(messages[taken:])\n", ""),
    M("_loop/hooks.pyx", "        hook.next = None\n", ""),
    M("_loop/hooks.pyx", " and hook is not last:", ":"),
    M("_loop/core.pyx", "        (<LoopCore> loop).flush_queue.run()\n", "        pass\n"),
    M("_loop/core.pyx", "                if self.flush_queue.first is not None:\n"
      "                    self.flush_in(handle.context)\n", ""),
    M("_loop/core.pyx", "            self.is_gathering = False\n            self.flush_queue.run()\n",
      "            self.is_gathering = False\n"),
    M("_loop/core.pyx", "        if self.inbox.has_calls():\n            self.take_calls()\n        return self.push_ready(",
      "        return self.push_ready("),
    M("_loop/moving.pyx", "            self.release_queue.extend(release_queue[i - 1:])\n", ""),
    M("_loop/core.pyx", "        if nothing_was_added and not self._stopping:\n",
      "        if not self._stopping:\n"),
    M("_loop/core.pyx", "            if events >= EVENTS_PER_SHORT_ITERATION and self.is_awaited():\n"
      "                break\n", ""),
    M("_loop/moving.pyx", "                    full_group = request.admission_group\n",
      "                    pass\n"),
    M("_loop/moving.pyx", "            self.must_turn = self.any_settles()\n",
      "            self.must_turn = False\n"),
    M("_loop/hooks.pyx", "        hook.is_queued = False\n", ""),
    M("_loop/core.pyx", "            self.first_ready = 0\n        Py_INCREF(handle)\n",
      "        Py_INCREF(handle)\n"),
    M("_loop/core.pyx", "(min(wait_s, LONGEST_WAIT_S) * 1e9) + 1", "(wait_s * 1e9) + 1",
      "waking once a day without a reason cannot be seen from outside"),
    M("_loop/scheduling.pyx", "                self.push_ready(due.pop())\n",
      "                due.pop()\n"),
    M("_loop/scheduling.pyx", " end_s = now_s + CLOCK_RESOLUTION_S\n", " end_s = now_s - 0.001\n"),
    M("_loop/scheduling.pyx", "        if self.inbox.has_calls():\n", "        if False:\n"),
    M("_loop/timers.pyx", "a.due_s == b.due_s and a.sequence < b.sequence",
      "a.due_s == b.due_s and a.sequence > b.sequence"),
    M("_loop/timers.pyx", "            if place > 0 and before(last, self.heap[(place - 1) >> 1]):\n"
      "                self.sift_up(place, last)\n            else:\n"
      "                self.sift_down(place, last)\n", "            self.sift_down(place, last)\n"),
    M("_loop/inbox.pyx", "        if self.parked:\n            self.parked = False\n"
      "            self.wakeup.signal()\n", ""),
    M("_loop/inbox.pyx", "        memmove(larger + n, larger, queue.count * sizeof(PyObject *))\n", ""),
    M("_loop/fd_callbacks.pyx", "        if reported & ~EPOLLIN and", "        if reported & EPOLLOUT and"),
    M("_loop/fd_callbacks.pyx", "        if self.is_cancelled or self.future.done():\n            return 0\n",
      "        if self.is_cancelled:\n            return 0\n"),
    M("_loop/handle.pyx", "            if entered:\n                PyContext_Exit(context)\n",
      "            if False:\n                PyContext_Exit(context)\n"),
    # -- _stream
    M("_stream/inbound.pyx", "            self.held.insert(0, PyBytes_FromStringAndSize(data, n))",
      "            self.held.append(PyBytes_FromStringAndSize(data, n))"),
    M("_stream/inbound.pyx", "            self.eof_seen = False\n            self.held_end = end\n", ""),
    M("_stream/inbound.pyx", "(NOT_OPEN | PAUSED | STOPPED_TO_MOVE)", "(NOT_OPEN | STOPPED_TO_MOVE)"),
    M("_stream/inbound.pyx", "        if self.held_end != 0 and not self.held and self.may_deliver():\n",
      "        if self.held_end != 0 and self.may_deliver():\n",
      "the loop above leaves something held only where nothing may be delivered"),
    M("_stream/outbound.pyx", "            # Copied: the caller may change its buffer before the iteration ends.\n"
      "            data = bytes(data)\n", "            data = bytes(data) + b''\n",
      "bytes(data) has copied already"),
    M("_stream/outbound.pyx", "self.out.size <= self.low_bytes", "self.out.size == 0"),
    M("_stream/outbound.pyx", "        if self.out.size > self.high_bytes:\n            self.send_now()\n",
      "        if self.out.size >= self.high_bytes:\n            self.send_now()\n"),
    M("_stream/outbound.pyx", "            self.gathering = GATHERS_TIMED\n        self.loop", "            pass\n        self.loop"),
    M("_stream/outbound.pyx", "> HELD_TOO_LONG_NS \\\n                        or times.waits != self.gathered_at.waits:", "> HELD_TOO_LONG_NS:"),
    M("_stream/outbound.pyx", "                if self.life < ENDING:\n                    self.wait_for_room()\n                raise\n", "                raise\n"),
    M("_stream/outbound.pyx", " or not self.loop.is_gathering:", ":"),
    M("_stream/outbound.pyx", "            if not self.wants_room and self.life < ENDING:\n                self.update_room_or_end()\n",
      "            pass\n"),
    M("_stream/outbound.pyx", "        self.writer_context = PyContext_CopyCurrent()\n", ""),
    M("_stream/outbound.pyx", "        elif self.eof_asked and self.life == OPEN:\n", "        elif False:\n"),
    M("_stream/stream.pyx", "        if self.request is not None:\n"
      "            (<MovingCore> self.loop).queue_release(self.request)\n        if self.next_driver",
      "        if self.next_driver",
      "what becomes active while it is detached ends, or is opaque from then on"),
    M("_stream/outgoing.pyx", "            if n < left:\n                self.first_sent += n\n                return\n",
      "            if n < left:\n                self.first_sent = n\n                return\n"),
    M("_stream/outgoing.pyx", "            self.first = 0\n        Py_INCREF(chunk)", "        Py_INCREF(chunk)"),
    M("_stream/endpoint.pyx", "            reasons |= HOLDS_BYTES\n        if self.held_end != 0:\n"
      "            reasons |= HOLDS_END\n", "            pass\n"),
    M("_stream/endpoint.pyx", "        if self.out.size == 0 and self.life == CLOSING:\n            self.end(None)\n",
      "        if self.life == CLOSING:\n            self.end(None)\n"),
    M("_stream/endpoint.pyx", "        self.eof_seen = False\n        self.reader_context = PyContext_CopyCurrent()\n",
      "        self.eof_seen = False\n"),
    M("_stream/endpoint.pyx", "        self.eof_seen = False\n        self.reader_context", "        self.reader_context"),
    M("_stream/endpoint.pyx", "        self.ending_context = PyContext_CopyCurrent()\n",
      "        self.ending_context = self.reader_context\n"),
    M("_stream/endpoint.pyx", "        if self.life == ENDING and self.driver.is_in_kernel():\n", "        if False:\n"),
    M("_engine/uring/stream_driver.pyx", "ring is not None and 2 * ring.buffers.taken >", "False and 2 * ring.buffers.taken >"),
    M("_engine/uring/stream_driver.pyx", "                return self.driver.update_receive_soon()\n", "                return 0\n"),
    M("_engine/uring/stream_driver.pyx", "            finally:\n                buffers.give_back(number)\n",
      "            finally:\n                if self.stream is not None:\n"
      "                    buffers.give_back(number)\n"),
    M("_engine/uring/stream_driver.pyx", "        buffers.give_back(number)\n        next.result",
      "        next.result"),
    M("_engine/uring/stream_driver.pyx", "                self.stream.received_end_after_bytes(1 if result == 0 else result)\n", "                pass\n"),
    M("_engine/uring/stream_driver.pyx", "self.mode = POLL if self.stream.family == AF_UNIX else MULTISHOT",
      "self.mode = MULTISHOT",
      "this kernel reports the end of a Unix socket to a multishot recv, too"),
    M("_engine/uring/stream_driver.pyx", "        return 0 if is_end else self.update_receive()\n", "        return 0\n"),
    M("_engine/uring/stream_driver.pyx", "        self.mode = POLL\n        if self.state", "        if self.state"),
    M("_engine/uring/stream_driver.pyx", "                self.mode = MULTISHOT\n", "                pass\n"),
    M("_engine/uring/stream_driver.pyx", "                taken += next.result\n", "                taken += size\n"),
    M("_stream/inbound.pyx", "size + len(self.held[count]) <= READ_BYTES", "size == 0"),
    M("_kernel/ring.pyx", "                    self.finished(op)\n                return True\n",
      "                    pass\n                return True\n"),
    M("_engine/uring/stream_driver.pyx", "        if result < 0 or result & (POLLERR | POLLHUP) and self.recv_is_reaped():\n",
      "        if result < 0:\n"),
    M("_engine/uring/core.pyx", "            (<Driven> endpoint).unpark()\n", "            pass\n"),
    M("_engine/uring/core.pyx", "            (<Driven> endpoint).driver.park()\n", "            pass\n"),
    M("_engine/uring/core.pyx", "        if interrupt is not None:\n            raise interrupt\n", ""),
    M("_stream/accepting.pyx", "        self.fd = -1\n        stream.peername", "        stream.peername"),
    M("_stream/accepting.pyx", "        if self.fd >= 0:\n            close_fd(self.fd)\n", "        pass\n"),
    M("_stream/accepting.pyx", "if Py_REFCNT(task) == 1:", "if True:"),
    M("_stream/accepting.pyx", "            enter_task(self.loop, self.task)\n            try:\n                self.make()\n"
      "            finally:\n                leave_task(self.loop, self.task)\n", "            self.make()\n"),
    M("_stream/accepting.pyx", "                task.fd, task.id = self.stream.fd, self.stream.id\n", "                pass\n"),
    M("_stream/accepting.pyx", "self.maker.loop.counted.iterations > self.opened_in", "True"),
    M("_stream/accepting.pyx", "            elif is_over:\n                run_now(", "            elif False:\n                run_now("),
    M("_stream/accepting.pyx", "            if accepting.stage != ACCEPTED:\n", "            if False:\n"),
    M("_loop/core.pyx", "                if not self._stopping:\n                    self.run_ready()\n",
      "                self.run_ready()\n"),
    M("_stream/listener.pyx", "            self.loop.when_fd_is_freed(self._go_on)\n", ""),
    M("_stream/listener.pyx", "            self.will_retry = True\n            self.loop.call_later(ACCEPT_RETRY_DELAY_S, self._retry)\n", ""),
    M("_stream/listener.pyx", "    stream.requests_before = released.requests\n", ""),
    M("_stream/listener.pyx", "        stream.held = [released.unread]\n", "        stream.held = None\n"),
    M("_stream/stream.pyx", 'released.unread = b"".join(self.held) if self.held else b""',
      'released.unread = self.held[0] if self.held else b""'),
    M("_stream/detaching.pyx", "    [MOVING, UNDOING, -1,", "    [MOVING, MOVING, -1,"),
    M("_stream/stream.pyx", "            release_socket(self.kept_open)\n            self.sock.detach()\n",
      "            release_socket(self.kept_open)\n"),
    # -- _datagram
    M("_datagram/endpoint.pyx", "        self.transport._maybe_resume_protocol()     # which may send more\n"
      "        if not self.waiting",
      "        if not self.waiting:\n            self.transport._maybe_resume_protocol()\n        if not self.waiting"),
    M("_datagram/endpoint.pyx", "                self.waiting.appendleft((data, address))\n"
      "                self.waiting_bytes += PyBytes_GET_SIZE(data) + HEADER_BYTES\n",
      "                self.waiting.append((data, address))\n"
      "                self.waiting_bytes += PyBytes_GET_SIZE(data) + HEADER_BYTES\n"),
    M("_datagram/endpoint.pyx", "            self.held = arrived[first:]\n",
      "            self.held = arrived[first + 2:]\n"),
    M("_datagram/arrivals.pyx", "        self.messages[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage)\n"
      "        return", "        return"),
    M("_datagram/arrivals.pyx", "            self.make_room(recv(fd, NULL, 0, MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC))\n",
      ""),
    M("_datagram/address_book.pyx", "                <sockaddr_storage *> &entry.name).ss_family == family:",
      "                <sockaddr_storage *> &entry.name).ss_family != 0:"),
    M("_engine/uring/datagram_driver.pyx", "            if self.arrivals_are_reaped():\n", "            if False:\n"),
    # -- _http1
    M("_http1/exchange.pyx", "            and self.response.part == BETWEEN\n", "",
      "what begins while no request waits is a fault"),
    M("_http1/exchange.pyx", "                if self.response.status >= 200:\n", "                if True:\n"),
    M("_http1/exchange.pyx", "        self.to_old >>= 1\n", ""),
    M("_http1/exchange.pyx", "        if self.unanswered == UNANSWERED_LIMIT:\n",
      "        if self.unanswered > UNANSWERED_LIMIT:\n"),
    M("_http1/framing.pyx", "            self.old = self.chunked = False\n", "            self.chunked = False\n",
      "first_line sets it for every message that has a version"),
    M("_http1/framing.pyx", "            self.says_close = self.says_keep_alive = self.says_upgrade = False\n", ""),
    M("_http1/framing.pyx", "        if self.chunked and self.length_bytes >= 0:\n"
      "            return \"Transfer-Encoding and Content-Length\"\n", ""),
    M("_http1/framing.pyx", "            if self.length_bytes >= 0:\n"
      "                return \"more than one Content-Length\"\n", ""),
    M("_http1/framing.pyx", "self.status < 200 or self.status == 204 or self.status == 304",
      "self.status < 200 or self.status == 304"),
    # -- the loops and their threads
    M("loop_thread.py", "context=self._context", "context=None"),
    M("loop_thread.py", "                for stop_callback in list(self.stop_callbacks):\n                    stop_callback()\n",
      ""),
    M("native_loop.py", 'own[0] in ("0.0.0.0", "::") and bool(own[1] == sockname[1])', "False"),
    # -- migration
    M("migration/adopt.py", "loop.serving_on(detached.sockname) or fallback", "fallback or loop.serving_on(detached.sockname)"),
    M("migration/batch.py", "self._in_flight < self._pace.max_in_flight\n            if has_slot",
      "self._in_flight <= self._pace.max_in_flight\n            if has_slot"),
    M("migration/batch.py", "            self._free_slots(moves)\n\n    def _free_slots", "            pass\n\n    def _free_slots"),
    M("migration/batch.py", "        if self.source.loop.time() - stream.last_byte_at < quiet_for_s:\n"
      "            return reasons.RECENTLY_ACTIVE\n", ""),
    M("migration/batch.py", "        self.source.stop_callbacks.discard(self.source_stops)\n", ""),
    M("migration/move.py", "        self.stream.cancel_release()\n", ""),
    M("migration/move.py", "        except RefusedError:\n            self.close()\n        else:",
      "        except RefusedError:\n            self.finish(reason)\n        else:"),
    M("migration/messages.py", "            self._refused()\n\n    def refuse", "            self._call()\n\n    def refuse"),
    M("migration/pace.py", "max(self._at_least, min(needed, self._at_most))", "min(needed, self._at_most)"),
    # -- control
    M("control/decide.py", "reverts[-1].at_s + t.revert_lock_s - now_s) > 0", "reverts[-1].at_s + t.revert_lock_s - now_s) > 1e9"),
    M("control/decide.py", "    left = changes[-1].at_s + t.cooldown_s - now_s\n", "    left = changes[0].at_s + t.cooldown_s - now_s\n"),
    M("control/decide.py", "        if newest - oldest <= thresholds.lock_window_s\n", ""),
    M("control/decide.py", "len(bad) < t.storm_ticks or None in bad", "len(bad) < t.storm_ticks or None is bad[-1]"),
    M("control/decide.py", "    if n < limit:\n", "    if n <= limit:\n"),
    M("standby/controller.py", "                self._cancel()\n                await routing.route(",
      "                await routing.route("),
    M("standby/controller.py", "            self._active = decision.to\n            old", "            old"),
    # -- serving
    M("serving/listening.py", "sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)", "pass"),
    M("serving/listening.py", "        mode = stat.S_IMODE(before.st_mode)\n", ""),
    M("serving/workers.py", "                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)\n", "                pass\n"),
    M("serving/workers.py", "worker.serves or worker.was_killed or served_before", "worker.serves or served_before"),
    M("serving/adaptive_server.py", "await asyncio.shield(self._shutting_down)", "await self._shutting_down"),
    M("serving/adaptive_server.py", "            async with self._opening:\n                pass  # What", "            if True:\n                pass  # What"),
]  # fmt: skip
