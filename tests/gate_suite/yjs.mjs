// The gate beside real Yjs. Needs Node and a module that exports Yjs:
//
//   node tests/gate_suite/yjs.mjs record <yjs module> > tests/gate_suite/yjs_updates.txt
//     what browsers send, for the test `updates_of_real_yjs_pass`: typing, deleting, undo and
//     redo, offline batches merged into one update, whole documents sent against a state vector.
//   HALLEY_GATE_DUMP=/tmp/mutants cargo test --test gate_suite mutants
//   node tests/gate_suite/yjs.mjs compare <yjs module> /tmp/mutants
//     every mutated update that the gate let through gives the same text in Yjs as in yrs.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [mode, module, file] = process.argv.slice(2);
const Y = await import(pathToFileURL(module).href);
const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));

function compare() {
  const counts = { updates: 0, differ: 0, thrown: 0, pending: 0 };
  for (const line of readFileSync(file, "utf8").split("\n").filter(Boolean)) {
    const [state, update, text] = line.split(" ");
    counts.updates += 1;
    const doc = new Y.Doc();
    Y.applyUpdate(doc, bytes(state));
    try {
      Y.applyUpdate(doc, bytes(update));
    } catch (error) {
      counts.thrown += 1;
      console.log("thrown", String(error), line);
      continue;
    }
    if (doc.store.pendingStructs || doc.store.pendingDs) {
      counts.pending += 1;
      console.log("pending", line);
    } else if (doc.getText("body").toString() !== Buffer.from(text, "base64").toString()) {
      counts.differ += 1;
      console.log("differs", line);
    }
  }
  console.log(counts);
  process.exitCode = counts.differ + counts.thrown + counts.pending ? 1 : 0;
}

function record(seed) {
  const random = (limit) => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return (seed >>> 0) % limit;
  };
  const server = new Y.Doc();
  const words = ["a", "word ", "😀", "é", "👩‍👧", "\n", "\ud83d", "維基", "x😀y", "- [ ] item\n"];
  const editors = [1000001, 4000000001, 77].map((client) => {
    const doc = new Y.Doc();
    doc.clientID = client;
    const body = doc.getText("body");
    const undo = new Y.UndoManager(body, { captureTimeout: 0, trackedOrigins: new Set(["own"]) });
    const editor = { doc, body, undo, client, pending: [] };
    doc.on("update", (update, _origin, _doc, transaction) => {
      if (transaction.local) editor.pending.push(update);
    });
    return editor;
  });
  const atBorder = (text, at) =>
    at > 0 && /[\udc00-\udfff]/.test(text[at] ?? "") && /[\ud800-\udbff]/.test(text[at - 1]) ? at - 1 : at;
  for (let step = 0; step < 400; step++) {
    const editor = editors[random(editors.length)];
    const text = editor.body.toString();
    const from = atBorder(text, random(text.length + 1));
    const to = atBorder(text, Math.min(text.length, from + random(12)));
    switch (random(8)) {
      case 0:
        editor.undo.undo();
        break;
      case 1:
        editor.undo.redo();
        break;
      case 2:
        editor.doc.transact(() => editor.body.delete(from, to - from), "own");
        break;
      case 3:
        editor.doc.transact(() => {
          editor.body.delete(from, to - from);
          editor.body.insert(from, words[random(words.length)]);
        }, "own");
        break;
      default:
        editor.doc.transact(() => editor.body.insert(from, words[random(words.length)]), "own");
    }
    if (editor.pending.length && random(3) > 0) {
      // Sent as it is, merged, or as what the server lacks.
      const vector = Y.encodeStateVector(server);
      const update =
        random(6) === 0
          ? Y.encodeStateAsUpdate(editor.doc, vector)
          : random(3) === 0
            ? Y.diffUpdate(Y.mergeUpdates(editor.pending), vector)
            : Y.mergeUpdates(editor.pending);
      editor.pending = [];
      Y.applyUpdate(server, update);
      console.log(editor.client, base64(update), base64(Buffer.from(server.getText("body").toString())));
    }
    if (random(3) === 0) Y.applyUpdate(editor.doc, Y.encodeStateAsUpdate(server), "remote");
  }
}

if (mode === "record") record(20261120);
else compare();
