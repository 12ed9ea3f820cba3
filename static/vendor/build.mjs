// Builds editor.js and uplot.js (one minified ES module each), uplot.css and LICENSES.txt from the packages of
// package-lock.json.
//
//   npm ci && node build.mjs            writes them
//   npm ci && node build.mjs --check    fails when a committed file differs from a fresh build
//
// The bundles are committed so that neither `cargo build` nor a browser needs a registry. Versions are exact, the
// lock file carries the hashes, and the output depends on nothing else.
import { readFile, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));

const BANNER = "/* Built by build.mjs from package-lock.json; do not edit. Licences: LICENSES.txt beside this file. */";

/**
 * A bundle's text and the packages that are in it.
 * @param {string} outfile
 * @param {import("esbuild").BuildOptions} options
 */
async function bundle(outfile, options) {
  const result = await build({
    absWorkingDir: here,
    bundle: true,
    write: false,
    metafile: true,
    minify: true,
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    logLevel: "warning",
    outfile,
    ...options,
  });
  const packages = new Set();
  for (const path of Object.keys(result.metafile.inputs)) {
    const found = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path);
    if (found) packages.add(found[1]);
  }
  return { text: result.outputFiles[0].text, packages: [...packages].sort() };
}

/** Name, version and licence text of each package in the bundles: what their licences ask us to pass on. */
async function licences(files) {
  const parts = [];
  for (const [file, packages] of files) {
    parts.push(`The file ${file} beside this one contains the following packages, each under its licence.\n`);
    for (const name of packages) parts.push(await licence(name));
  }
  return parts.join("\n");
}

async function licence(name) {
  const root = join(here, "node_modules", name);
  const meta = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  const file = (await readdir(root)).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${name} has no licence file`);
  const text = (await readFile(join(root, file), "utf8")).replace(/\r\n?/g, "\n").trim();
  return `${"=".repeat(80)}\n${name} ${meta.version} (${meta.license})\n${"=".repeat(80)}\n\n${text}\n`;
}

const editor = await bundle("editor.js", {
  entryPoints: ["src/index.js"],
  format: "esm",
  alias: { "@codemirror/lang-html": "./src/html-stub.js" },
  banner: { js: BANNER },
});
// The last line makes a module of it; without that line it is a plain script that defines `uPlot`, which is what a
// file that must open without a server needs.
const chart = await bundle("uplot.js", {
  entryPoints: ["src/uplot.js"],
  format: "iife",
  globalName: "uPlotModule",
  banner: { js: BANNER },
  footer: { js: "var uPlot=uPlotModule.default;\nexport default uPlot;" },
});
const style = await bundle("uplot.css", {
  entryPoints: ["node_modules/uplot/dist/uPlot.min.css"],
  banner: { css: BANNER },
});
const outputs = {
  "editor.js": editor.text,
  "uplot.js": chart.text,
  "uplot.css": style.text,
  "LICENSES.txt": await licences([["editor.js", editor.packages], ["uplot.js", chart.packages]]),
};
const check = process.argv.includes("--check");
let stale = 0;
for (const [name, fresh] of Object.entries(outputs)) {
  const path = join(here, name);
  if (!check) {
    await writeFile(path, fresh);
    console.log(`${name}: ${fresh.length} characters`);
  } else if ((await readFile(path, "utf8").catch(() => "")) !== fresh) {
    console.error(`${name} differs from a fresh build: run node build.mjs and commit it`);
    stale += 1;
  } else console.log(`${name}: same as a fresh build`);
}
process.exitCode = stale === 0 ? 0 : 1;
