// A Halley server in memory, as far as the editor sees it: the live API of one page with the rules of the gate that
// matter to a client (whose client id, contiguous clocks, nothing missing). Tests that run without the real server
// use it; it answers `fetch` in this process.

import { Y } from "../../../static/vendor/editor.js";
import { toBase64, toBase64Url } from "../../../static/js/lib/base64.js";
import { hashText } from "../../../static/js/editor/text.js";

const json = (status, body, headers = {}) =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", ...headers } });
const refuse = (status, code, more = {}) => json(status, { error: { code, message: `${code}.` }, ...more });

export class FakeServer {
  /** @param {{ page?: number, text?: string, checkEvery?: number }} [options] */
  constructor({ page = 1, text = "", checkEvery = 5 } = {}) {
    this.page = page;
    this.checkEvery = checkEvery;
    this.doc = new Y.Doc();
    this.doc.clientID = 1;
    if (text) this.doc.getText("body").insert(0, text);
    this.rev = text ? 1 : 0;
    /** Yjs client id -> login. */
    this.owners = new Map();
    this.nextClient = 1000;
    /** Operations that were accepted. */
    this.ops = new Map();
    this.epoch = "aaaaaaaa";
    this.events = [];
    this.base = 0;
    this.waiters = new Set();
    this.reports = [];
    this.requests = 0;
    /** Set by a test: answers instead, when it returns something. */
    this.intercept = null;
  }

  get text() {
    return this.doc.getText("body").toString();
  }

  get cursor() {
    return `${this.epoch}.${this.base + this.events.length}`;
  }

  /** All clients must resynchronise, as after a restart. */
  restart() {
    this.epoch = this.epoch === "aaaaaaaa" ? "bbbbbbbb" : "aaaaaaaa";
    this.events = [];
    this.base = 0;
    this.wake();
  }

  publish(topic, kind, data) {
    this.events.push({ seq: this.base + this.events.length + 1, topic, kind, data });
    this.wake();
  }

  wake() {
    for (const waiter of [...this.waiters]) waiter();
  }

  /** A `fetch` as a browser with this login. */
  fetchAs(user) {
    return async (input, init = {}) => {
      this.requests += 1;
      const url = new URL(String(input), "http://fake");
      const body =
        init.body instanceof Uint8Array
          ? init.body
          : typeof init.body === "string"
            ? init.body
            : init.body
              ? new Uint8Array(await new Response(init.body).arrayBuffer())
              : null;
      const given = this.intercept?.(url, init, body);
      if (given) return given;
      return this.answer(url, init.method ?? "GET", body, user, init.signal ?? null);
    };
  }

  answer(url, method, body, user, signal) {
    const path = url.pathname;
    const root = `/_live/pages/${this.page}`;
    if (path === `${root}/session`) {
      const id = (this.nextClient += 1);
      this.owners.set(id, user);
      return json(200, {
        client_id: id,
        you: { id: user, name: user, colour: 1, guest: true },
        rights: { read: true, write: true },
        path: "test",
        limits: { text_bytes: 1048576, update_bytes: 262144 },
      });
    }
    if (path === `${root}/doc`) {
      const sv = url.searchParams.get("sv");
      const state = sv
        ? Y.encodeStateAsUpdate(this.doc, Uint8Array.from(Buffer.from(sv, "base64url")))
        : Y.encodeStateAsUpdate(this.doc);
      return new Response(state, {
        headers: {
          "content-type": "application/octet-stream",
          "halley-cursor": this.cursor,
          "halley-revision": String(this.rev),
        },
      });
    }
    if (path === `${root}/updates`) return this.update(url, body, user);
    if (path === "/_live/beat")
      return json(200, { head: this.cursor, you: { id: user, name: user, colour: 1 }, here: [] });
    if (path === "/_live/leave") return new Response(null, { status: 204 });
    if (path === "/_live/report") {
      this.reports.push(JSON.parse(body));
      return json(200, {});
    }
    if (path === "/_live/events") return this.read(url, signal);
    return refuse(404, "no_route");
  }

  update(url, bytes, user) {
    const op = url.searchParams.get("op");
    const done = () => {
      const cursor = url.searchParams.get("cursor");
      return {
        rev: this.ops.get(op),
        saved: true,
        ...(cursor ? { batch: this.batch(cursor, url.searchParams.get("topics")) } : {}),
      };
    };
    if (this.ops.has(op)) return json(200, done());
    if (bytes.length > 262144) return refuse(413, "too_large");
    const sv = () => ({ sv: toBase64Url(Y.encodeStateVector(this.doc)) });
    const { structs, ds } = Y.decodeUpdate(bytes);
    const clocks = new Map();
    const clockOf = (client) => clocks.get(client) ?? Y.getState(this.doc.store, client);
    let known = true;
    for (const struct of structs) {
      const { client, clock } = struct.id;
      if (this.owners.get(client) !== user) return refuse(409, "forged");
      if (struct instanceof Y.Skip) return refuse(422, "broken_update");
      const end = clock + struct.length;
      if (end <= clockOf(client) && !clocks.has(client)) continue;
      known = false;
      if (clock !== clockOf(client)) return refuse(409, "behind", sv());
      for (const origin of [struct.origin, struct.rightOrigin]) {
        if (origin && origin.clock >= clockOf(origin.client)) return refuse(409, "missing", sv());
      }
      clocks.set(client, end);
    }
    for (const [client, ranges] of ds.clients) {
      for (const range of ranges)
        if (range.clock + range.len > clockOf(client)) return refuse(409, "missing", sv());
    }
    if (!known || ds.clients.size > 0) {
      Y.applyUpdate(this.doc, bytes);
      if (this.doc.store.pendingStructs || this.doc.store.pendingDs)
        throw new Error("the fake gate let a gap through");
      this.rev += 1;
      this.publish(`doc:${this.page}`, "updated", {
        rev: this.rev,
        update: toBase64(bytes),
        client: structs[0]?.id.client ?? 0,
      });
      if (this.rev % this.checkEvery === 0) {
        this.publish(`doc:${this.page}`, "checked", {
          rev: this.rev,
          length: this.text.length,
          hash: hashText(this.text),
        });
      }
    }
    this.ops.set(op, this.rev);
    return json(200, done());
  }

  batch(cursor, topics) {
    const wanted = new Set((topics ?? "").split(","));
    const [epoch, seq] = cursor.split(".");
    const at = Number(seq) - this.base;
    const head = this.cursor;
    if (epoch !== this.epoch || at < 0 || at > this.events.length) {
      return { from: null, to: head, events: [], more: false, reset: true };
    }
    return {
      from: cursor,
      to: head,
      events: this.events.slice(at).filter((event) => wanted.has(event.topic)),
      more: false,
      reset: false,
    };
  }

  async read(url, signal) {
    const query = url.searchParams;
    const cursor = query.get("cursor") || this.cursor;
    const topics = query.get("topics");
    const nonce = query.get("nonce");
    const advice = { mode: null, wait: 25, interval_ms: 200 };
    if (query.get("mode") === "poll") return json(200, { nonce, ...this.batch(cursor, topics), advice });
    if (query.get("mode") === "hold") {
      const until = Date.now() + Math.min(25, Number(query.get("wait") ?? 10)) * 1000;
      for (;;) {
        const batch = this.batch(cursor, topics);
        if (batch.reset || batch.events.length > 0 || Date.now() >= until)
          return json(200, { nonce, ...batch, advice });
        await this.next(Math.max(1, until - Date.now()), signal);
      }
    }
    const self = this;
    let position = cursor;
    let closed = false;
    const encoder = new TextEncoder();
    const body = new ReadableStream({
      async start(controller) {
        const send = (event, id, data) => {
          if (!closed)
            controller.enqueue(
              encoder.encode(`event: ${event}\n${id ? `id: ${id}\n` : ""}data: ${JSON.stringify(data)}\n\n`),
            );
        };
        signal?.addEventListener("abort", () => {
          if (closed) return;
          closed = true;
          self.wake();
          controller.error(new DOMException("aborted", "AbortError"));
        });
        send("hello", cursor, {
          nonce,
          client: query.get("client"),
          heartbeat: 15,
          max_age: 300,
          server: "fake",
          cursor,
        });
        setTimeout(() => send("probe", null, { nonce }), 400);
        while (!closed) {
          const batch = self.batch(position, topics);
          if (batch.reset) send("reset", batch.to, { from: null, to: batch.to });
          else if (batch.events.length > 0)
            send("batch", batch.to, { from: batch.from, to: batch.to, events: batch.events });
          position = batch.to;
          await self.next(1000, signal);
        }
      },
      cancel() {
        closed = true;
        self.wake();
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }

  /** Resolves with the next event, or after a while. */
  next(ms, signal) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.waiters.delete(done);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.waiters.add(done);
      signal?.addEventListener("abort", done);
    });
  }
}
