// The thread of a page, which may stand still: then its timers wait, and so does
// what the network brings. The network, the server and their time go on.

export function createThread(clock, fetch) {
  let busyUntil = -Infinity;
  const timers = new Map();
  let ids = 0;

  // Timers run first after a standstill, which is the worst that a browser may do.
  const awake = async () => {
    while (clock.now() <= busyUntil) await new Promise((done) => clock.setTimeout(done, busyUntil - clock.now() + 5));
  };

  const own = {
    now: clock.now,
    setTimeout(fn, ms) {
      const id = (ids += 1);
      const run = () => {
        if (clock.now() < busyUntil) return void timers.set(id, clock.setTimeout(run, busyUntil - clock.now()));
        timers.delete(id);
        fn();
      };
      timers.set(id, clock.setTimeout(run, ms));
      return id;
    },
    clearTimeout(id) {
      clock.clearTimeout(timers.get(id));
      timers.delete(id);
    },
  };

  // What comes while the thread stands still is one read afterwards.
  function slowly(source) {
    const reader = source.getReader();
    let kept = [];
    let flushing = false;
    return new ReadableStream({
      start(controller) {
        const flush = async () => {
          if (flushing) return;
          flushing = true;
          await awake();
          flushing = false;
          const bytes = Buffer.concat(kept);
          kept = [];
          if (bytes.length > 0) controller.enqueue(new Uint8Array(bytes));
        };
        (async () => {
          try {
            for (;;) {
              const { done, value } = await reader.read();
              if (done) break;
              kept.push(value);
              void flush();
            }
            await flush();
            controller.close();
          } catch (error) {
            await awake();
            controller.error(error);
          }
        })();
      },
      cancel: (reason) => reader.cancel(reason),
    });
  }

  return {
    clock: own,
    async fetch(url, init) {
      const answer = fetch(url, init);
      await answer.catch(() => {});
      if (clock.now() <= busyUntil) await awake();
      const response = await answer;
      if (!response.headers.get("content-type")?.startsWith("text/event-stream")) return response;
      return new Response(slowly(response.body), { status: response.status, headers: response.headers });
    },
    // Stands still for so many ms from now on, and lets them pass.
    async stall(ms) {
      busyUntil = clock.now() + ms;
      await clock.advance(ms);
    },
  };
}
