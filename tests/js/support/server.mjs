// A server of the live protocol in a few lines, and a network before it that can
// misbehave in the ways of real middleboxes. `fetch` is what the browser modules
// are given.

const encoder = new TextEncoder();

export class FakeServer {
  constructor(clock, options = {}) {
    this.clock = clock;
    this.epoch = "aaaaaaaa";
    this.log = []; // events; seq of log[i] is i + 1
    this.floor = 0; // events up to here have left the ring
    this.heartbeatMs = 15000;
    this.maxAgeS = options.maxAgeS ?? 300;
    this.streams = new Set();
    this.waiting = new Set();
    this.requests = [];
    this.beats = [];
    this.here = [];
    this.lead = 0; // what a beat's head is ahead by
    this.fault = {};
  }

  get head() {
    return `${this.epoch}.${this.log.length}`;
  }

  count(mode) {
    return this.requests.filter((request) => request.mode === mode).length;
  }

  publish(data, topic = "view:1") {
    this.log.push({ topic, kind: "changed", data });
    this.flush();
  }

  flush() {
    for (const stream of [...this.streams]) stream.flush();
    for (const wake of [...this.waiting]) wake();
  }

  // The server dies without a word and comes back as another process.
  crash() {
    this.fault = { ...this.fault, down: true };
    for (const stream of [...this.streams]) stream.cut();
    for (const wake of [...this.waiting]) wake("dead");
  }

  recover(epoch = this.epoch) {
    this.fault = { ...this.fault, down: false };
    if (epoch !== this.epoch) {
      this.epoch = epoch;
      this.log = [];
      this.floor = 0;
    }
  }

  batch(cursor, topics = null) {
    const [epoch, seq] = cursor ? cursor.split(".") : [this.epoch, String(this.log.length)];
    if (epoch !== this.epoch || Number(seq) > this.log.length || Number(seq) < this.floor) {
      return { from: cursor, to: this.head, events: [], more: false, reset: true };
    }
    const wanted = topics?.split(",");
    const events = this.log.map((event, index) => ({ seq: index + 1, ...event })).slice(Number(seq)).filter((event) => !wanted || wanted.includes(event.topic));
    return { from: `${epoch}.${seq}`, to: this.head, events, more: false, reset: false };
  }

  fetch = (url, init = {}) => {
    const parsed = new URL(url, "http://wiki.test");
    const mode = parsed.searchParams.get("mode") ?? parsed.pathname.split("/").pop();
    const request = { url, mode, method: init.method ?? "GET", at: this.clock.now(), query: parsed.searchParams, headers: init.headers ?? {}, body: init.body };
    this.requests.push(request);
    return new Promise((resolve, reject) => {
      const gone = () => reject(new DOMException("aborted", "AbortError"));
      if (init.signal?.aborted) return gone();
      init.signal?.addEventListener("abort", gone);
      this.clock.setTimeout(() => {
        if (init.signal?.aborted) return;
        this.answer(request, init.signal).then(resolve, reject);
      }, this.fault.latency ?? 10);
    });
  };

  json(body, status = 200, headers = {}) {
    return new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", ...headers } });
  }

  async answer(request, signal) {
    // Nothing passes for a while, and then all that waited does.
    await this.fault.frozen;
    const { fault } = this;
    if (fault.down) throw new TypeError("network");
    if (fault.blackhole) return new Promise(() => {});
    if (fault.portal) return new Response("<html>sign in</html>", { status: 200, headers: { "content-type": "text/html" } });
    if (fault.filtered && request.mode !== "beat") return new Response("<html>not allowed</html>", { status: 403, headers: { "content-type": "text/html" } });
    if (fault.unready) return new Response("busy", { status: 503, headers: { "retry-after": String(fault.unready) } });
    if (fault.refuse) return this.json({ error: { code: "no_page", message: "None." } }, fault.refuse);
    if (request.mode === "stream") return this.stream(request, signal);
    if (request.mode === "hold" || request.mode === "poll") return this.asked(request, signal);
    if (request.mode === "beat") {
      if (fault.beatsFail) throw new TypeError("network");
      if (fault.beatsTake) await new Promise((done) => this.clock.setTimeout(done, fault.beatsTake));
      const body = JSON.parse(request.body);
      this.beats.push({ ...body, at: this.clock.now() });
      return this.json({ head: `${this.epoch}.${this.log.length + this.lead}`, you: { id: "g", name: "Quiet Heron", colour: 1, guest: true }, ...(body.list ? { here: this.here } : {}) });
    }
    if (request.mode === "leave") return new Response(null, { status: 204 });
    return this.json({ error: { code: "no_page", message: "None." } }, 404);
  }

  async asked(request, signal) {
    const { fault } = this;
    // Without one it begins where the log ends when the request comes.
    const cursor = request.query.get("cursor") ?? this.head;
    const topics = request.query.get("topics");
    const nonce = fault.cache && request.method === "GET" ? "somebody-elses" : request.query.get("nonce");
    if (request.mode === "poll") {
      if (fault.pollsFail) return this.json({ error: { code: "bad_gateway", message: "None." } }, 502);
      if (request.headers["If-None-Match"] === `"${this.head}"`) return new Response(null, { status: 304 });
      return this.json({ nonce, ...this.batch(cursor, topics), advice: fault.advice ?? { mode: null, wait: 25, interval_ms: 0 } });
    }
    if (fault.holdRefused) throw new TypeError("network");
    const first = this.batch(cursor, topics);
    const waitMs = Number(request.query.get("wait")) * 1000;
    const cutMs = fault.holdCut ?? Infinity;
    if (first.events.length === 0 && !first.reset && !fault.instant) {
      const how = await new Promise((done) => {
        const wake = (why) => {
          const news = this.batch(cursor, topics);
          if (why === undefined && news.events.length === 0 && !news.reset) return;
          this.waiting.delete(wake);
          this.clock.clearTimeout(timer);
          done(why ?? "news");
        };
        const timer = this.clock.setTimeout(() => wake(cutMs < waitMs ? "cut" : "time"), Math.min(cutMs, waitMs));
        this.waiting.add(wake);
        signal?.addEventListener("abort", () => wake("abort"));
      });
      if (how === "dead" || how === "cut") throw new TypeError("network");
    }
    return this.json({ nonce, ...this.batch(cursor, topics), advice: { mode: null, wait: 25, interval_ms: 0 } });
  }

  stream(request, signal) {
    const { fault, clock } = this;
    if (fault.streamRefused) throw new TypeError("network");
    if (fault.cap) return this.json({ from: "x", to: "x", events: [], more: false, advice: { mode: "poll", interval_ms: 2000, why: "too many streams" } });
    if (fault.streamPortal) return new Response("<html>", { headers: { "content-type": "text/html" } });
    let controller;
    let open = true;
    let lost = false;
    const openedAt = clock.now();
    const server = this;
    const timers = new Set();
    const later = (fn, ms) => timers.add(clock.setTimeout(fn, ms));
    const body = new ReadableStream({ start: (c) => void (controller = c) });
    let kept = [];
    let bytes = 0;
    const arrive = (chunk) => open && controller.enqueue(chunk);
    let lastAt = 0;
    const pass = (chunk) => {
      if (!fault.streamDelay) return arrive(chunk);
      const delay = typeof fault.streamDelay === "function" ? fault.streamDelay() : fault.streamDelay;
      lastAt = Math.max(lastAt, clock.now() + delay);
      later(() => arrive(chunk), lastAt - clock.now());
    };
    const release = () => {
      const chunks = kept;
      kept = [];
      if (chunks.length === 0 || !open) return;
      const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
      let at = 0;
      for (const chunk of chunks) {
        all.set(chunk, at);
        at += chunk.length;
      }
      controller.enqueue(all);
    };
    const pad = request.query.get("pad") === "1";
    const write = (text, filler = false) => {
      if (!open) return;
      const chunk = encoder.encode(text);
      bytes += chunk.length;
      if (lost) return;
      const hole = fault.hole !== undefined && clock.now() - request.at > fault.hole;
      if (hole) return;
      if (fault.mute) kept.push(chunk);
      else if (fault.tick) kept.push(chunk);
      else if (fault.behind) {
        release();
        kept = [chunk];
      } else if (fault.block) {
        kept.push(chunk);
        const all = Buffer.concat(kept);
        const whole = Math.floor(all.length / fault.block) * fault.block;
        kept = [new Uint8Array(all.subarray(whole))];
        if (whole > 0) pass(new Uint8Array(all.subarray(0, whole)));
      } else if (fault.thresh && bytes < fault.thresh) kept.push(chunk);
      else {
        release();
        pass(chunk);
      }
      if (pad && !filler) later(() => write(`: ${" ".repeat(4096)}\n\n`, true), 50);
    };
    if (fault.tick) {
      const flush = () => {
        release();
        later(flush, fault.tick);
      };
      later(flush, fault.tick);
    }
    let position = request.query.get("cursor") ?? this.head;
    const close = (error) => {
      if (!open) return;
      if (!error) release();
      open = false;
      for (const timer of timers) clock.clearTimeout(timer);
      server.streams.delete(stream);
      try {
        if (error) controller.error(new TypeError("network"));
        else controller.close();
      } catch {
        // The reader has gone already.
      }
    };
    const send = (empty) => {
      const batch = server.batch(position, request.query.get("topics"));
      if (batch.reset) {
        write(`event: reset\nid: ${batch.to}\ndata: ${JSON.stringify({ from: null, to: batch.to })}\n\n`);
      } else if (empty || batch.events.length > 0) {
        write(`event: batch\nid: ${batch.to}\ndata: ${JSON.stringify({ from: position, to: batch.to, t: server.clock.now() - openedAt, events: batch.events })}\n\n`);
      } else return;
      position = batch.to;
    };
    const stream = {
      flush: () => send(false),
      cut: () => close(true),
      // The connection dies, and nobody is told.
      lose: () => void (lost = true),
      request,
      bye(why, afterMs = 0, end = true) {
        write(`event: bye\ndata: ${JSON.stringify({ why, after_ms: afterMs })}\n\n`);
        if (end) close(false);
      },
    };
    this.streams.add(stream);
    signal?.addEventListener("abort", () => close(true));
    const nonce = fault.cache ? "somebody-elses" : request.query.get("nonce");
    if (fault.busy > 0) {
      fault.busy -= 1;
      stream.bye("busy", 4000);
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    }
    if (pad) write(`: ${" ".repeat(4096)}\n\n`, true);
    write(`event: hello\nid: ${position}\ndata: ${JSON.stringify({ nonce, client: "c", heartbeat: server.heartbeatMs / 1000, max_age: server.maxAgeS, server: "0", cursor: position, t: 0 })}\n\n`);
    send(false);
    later(() => write(`event: probe\ndata: ${JSON.stringify({ nonce, t: server.clock.now() - openedAt })}\n\n`), fault.probeAfter ?? 700);
    const heartbeat = () => {
      send(true);
      later(heartbeat, server.heartbeatMs);
    };
    later(heartbeat, server.heartbeatMs);
    if (fault.cut) later(() => close(true), fault.cut);
    later(() => stream.bye("recycle", 1800), server.maxAgeS * 1000);
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }
}
