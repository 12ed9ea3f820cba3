/**
 * Types for whoever wants to watch: the same text again and again, key by key,
 * at about the rate that was asked for.
 * @module
 */

const TEXT = [
  "Edmond Halley saw the comet in 1682 and worked out that it comes back.",
  "He was right, and did not live to see it: it returned in 1758, on Christmas night.",
  "A page that is shown late is like a chart of the sky from last year.",
  "Everything on it was true once. Which part of it still is, it cannot say.",
  "So watch the copies below while this is being typed, and compare them.",
];

/** Keys do not come like the ticks of a clock. */
const JITTER = 0.2;

/**
 * @param {(letters: string) => void} press
 * @param {{ random?: () => number }} [options]
 */
export function createTypist(press, options = {}) {
  const random = options.random ?? Math.random;
  /** @type {any} */
  let timer = null;
  let perSecond = 3;
  let sentence = 0;
  let letter = 0;

  function step() {
    const line = TEXT[sentence % TEXT.length];
    // A sentence is a paragraph, so that a change is as small as in a page with some structure.
    if (letter < line.length) {
      press(line[letter]);
      letter += 1;
    } else {
      press("\n\n");
      sentence += 1;
      letter = 0;
    }
    plan();
  }

  function plan() {
    timer = setTimeout(step, (1000 / perSecond) * (1 + JITTER * (2 * random() - 1)));
  }

  return {
    get running() {
      return timer !== null;
    },
    /** @param {number} keysPerSecond */
    start(keysPerSecond) {
      perSecond = keysPerSecond;
      if (timer === null) plan();
    },
    stop() {
      clearTimeout(timer);
      timer = null;
    },
  };
}
