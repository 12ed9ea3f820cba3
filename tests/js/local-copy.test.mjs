// The copy of a page that a browser keeps for opening it offline.

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { scheduleCopy } from "../../static/js/editor/session/local.js";
import { Y } from "../../static/vendor/editor.js";

test("a copy that once took long, on a busy machine, delays the next one by seconds and not by minutes", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    let copies = 0;
    const session = /** @type {any} */ ({
      copyTimer: null,
      copyCostMs: 2000,
      closed: false,
      doc: new Y.Doc(),
      page: 1,
      rev: 1,
      now: () => 0,
      options: { path: "Page" },
      store: { durable: true, putDoc: () => Promise.resolve(void (copies += 1)) },
      outbox: { keep: () => {} },
    });
    scheduleCopy(session);
    mock.timers.tick(4999);
    assert.equal(copies, 0);
    mock.timers.tick(1);
    assert.equal(copies, 1);
    assert.ok(session.copyCostMs < 2000, "and the next one is judged anew");
  } finally {
    mock.timers.reset();
  }
});
