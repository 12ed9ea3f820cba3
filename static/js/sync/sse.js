/**
 * An incremental parser for `text/event-stream` (HTML Standard, section 9.2.6).
 * Bytes may be cut anywhere: inside a UTF-8 sequence, inside a line, between CR
 * and LF. Frames come out whole and in order whatever the cuts were.
 * @module
 */

/** @typedef {{ event: string, data: string, id: string | null }} Frame */

/** A line longer than this is not ours: batches are capped far below. */
const MAX_LINE = 4 * 1024 * 1024;

/**
 * @param {(frame: Frame) => void} onFrame called for each complete frame with data
 * @returns {{ push(bytes: Uint8Array): void }} `push` throws on a line over 4 MiB
 */
export function createSseParser(onFrame) {
  const decoder = new TextDecoder("utf-8");
  let rest = "";
  let afterCr = false;
  let event = "";
  /** @type {string[]} */
  let data = [];
  /** @type {string | null} */
  let id = null;

  /** @param {string} line */
  function takeLine(line) {
    if (line === "") {
      if (data.length > 0) onFrame({ event: event || "message", data: data.join("\n"), id });
      event = "";
      data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "event") event = value;
    else if (field === "data") data.push(value);
    else if (field === "id" && !value.includes("\0")) id = value;
  }

  return {
    push(bytes) {
      let text = decoder.decode(bytes, { stream: true });
      if (text === "") return;
      // A CR that ended the last chunk has ended its line; its LF adds no second one.
      if (afterCr && text.startsWith("\n")) text = text.slice(1);
      if (text !== "") afterCr = text.endsWith("\r");
      else afterCr = false;
      let start = 0;
      for (let at = 0; at < text.length; at += 1) {
        const code = text.charCodeAt(at);
        if (code !== 10 && code !== 13) continue;
        const line = rest + text.slice(start, at);
        rest = "";
        if (code === 13 && text.charCodeAt(at + 1) === 10) at += 1;
        start = at + 1;
        takeLine(line);
      }
      rest += text.slice(start);
      if (rest.length > MAX_LINE) throw new Error("a line of the stream is too long");
    },
  };
}
