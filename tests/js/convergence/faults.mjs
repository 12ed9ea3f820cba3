// A network that loses, doubles, delays and cuts, decided by a seed.

/** A small generator of numbers (mulberry32): the same seed gives the same run. */
export function random(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    /** 0 <= x < 1 */
    next,
    /** 0 <= n < limit */
    below: (limit) => Math.floor(next() * limit),
    chance: (p) => next() < p,
    pick: (list) => list[Math.floor(next() * list.length)],
  };
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Wraps a `fetch` with faults. `net.rate` is the share of requests that something happens to; `net.offline` loses all.
 * @param {typeof fetch} send
 * @param {ReturnType<typeof random>} rng
 * @param {{ rate: number, offline: boolean, maxDelayMs: number, counts: Record<string, number> }} net
 */
export function faulty(send, rng, net) {
  const count = (name) => (net.counts[name] = (net.counts[name] ?? 0) + 1);
  const lost = () => new TypeError("fetch failed (on purpose)");
  return async function fetchWithFaults(input, init = {}) {
    if (net.offline) {
      await sleep(rng.below(5));
      throw lost();
    }
    if (!rng.chance(net.rate)) return cut(await send(input, init));
    const signal = init.signal;
    await sleep(rng.below(net.maxDelayMs));
    if (signal?.aborted) throw signal.reason;
    switch (rng.below(5)) {
      case 0:
        count("dropped before");
        throw lost();
      case 1: {
        // The server acts, and nobody hears of it.
        count("dropped after");
        const { signal: _signal, ...rest } = init;
        const stream = String(input).includes("mode=stream") || String(input).includes("mode=hold");
        if (!stream)
          await send(input, rest)
            .then((response) => response.arrayBuffer())
            .catch(() => {});
        throw lost();
      }
      case 2: {
        count("doubled");
        const stream = String(input).includes("mode=stream") || String(input).includes("mode=hold");
        if (!stream) {
          const { signal: _signal, ...rest } = init;
          const other = send(input, rest)
            .then((response) => response.arrayBuffer())
            .catch(() => {});
          if (rng.chance(0.5)) await other;
        }
        return send(input, init);
      }
      case 3: {
        count("delayed");
        const response = await send(input, init);
        await sleep(rng.below(net.maxDelayMs));
        return response;
      }
      default:
        count("cut");
        return cut(await send(input, init), rng.below(600));
    }
  };

  /** A body that breaks off: after so many bytes, or whenever the network goes. */
  function cut(response, after = Infinity) {
    if (!response.body) return response;
    let left = after;
    const reader = response.body.getReader();
    const body = new ReadableStream({
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (done) return controller.close();
          if (net.offline || value.length > left) {
            void reader.cancel().catch(() => {});
            return controller.error(lost());
          }
          left -= value.length;
          controller.enqueue(value);
        } catch (error) {
          controller.error(error);
        }
      },
      cancel: (reason) => reader.cancel(reason),
    });
    return new Response(body, { status: response.status, headers: response.headers });
  }
}
