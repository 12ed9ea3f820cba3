// As much of a document as blocks.js touches, with a layout that is one column of
// blocks: the height of a block is ten pixels per character of its HTML.

export class FakeNode {
  constructor(tag = "div") {
    this.tagName = tag.toUpperCase();
    this.children = [];
    this.parentElement = null;
    this.dataset = {};
    this.html = "";
    this.scrollTop = 0;
    this.style = { set: {}, setProperty: (name, value) => void (this.style.set[name] = value) };
    const names = new Set();
    this.classList = { add: (name) => names.add(name), remove: (name) => names.delete(name), contains: (name) => names.has(name) };
    Object.defineProperty(this, "className", { set: (value) => value.split(" ").forEach((name) => names.add(name)), get: () => [...names].join(" ") });
    this.moves = 0;
  }
  set innerHTML(html) {
    this.html = html;
  }
  get innerHTML() {
    return this.html;
  }
  addEventListener() {}
  insertBefore(node, before) {
    node.moves += 1;
    if (node.parentElement) node.remove();
    const at = before ? this.children.indexOf(before) : this.children.length;
    if (at < 0) throw new Error("the reference node is not a child");
    this.children.splice(at, 0, node);
    node.parentElement = this;
    return node;
  }
  remove() {
    const siblings = this.parentElement.children;
    siblings.splice(siblings.indexOf(this), 1);
    this.parentElement = null;
  }
  get height() {
    return this.html.length * 10;
  }
  getBoundingClientRect() {
    const siblings = this.parentElement.children;
    let top = 100 - globalThis.window.scrollY;
    for (const node of siblings) {
      if (node === this) break;
      top += node.height;
    }
    return { top, bottom: top + this.height };
  }
}

// Installs the fakes for one test; returns the article and what undoes it.
export function installDom({ reducedMotion = false } = {}) {
  const body = new FakeNode("body");
  const root = new FakeNode("html");
  const article = new FakeNode("article");
  body.insertBefore(article, null);
  body.parentElement = root;
  const before = {};
  const fakes = {
    document: { createElement: (tag) => new FakeNode(tag), body, documentElement: root, querySelector: () => null },
    window: { scrollY: 0, innerHeight: 600, scrollBy: ({ top }) => void (globalThis.window.scrollY += top) },
    getComputedStyle: () => ({ overflowY: "visible" }),
    matchMedia: () => ({ matches: reducedMotion }),
  };
  for (const [name, value] of Object.entries(fakes)) {
    before[name] = globalThis[name];
    globalThis[name] = value;
  }
  return { article, root, undo: () => Object.assign(globalThis, before) };
}
