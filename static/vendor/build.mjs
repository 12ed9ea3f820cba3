// Builds editor.js (one minified ES module) and LICENSES.txt from the packages of package-lock.json.
//
//   npm ci && node build.mjs            writes both
//   npm ci && node build.mjs --check    fails when a committed file differs from a fresh build
//
// The bundle is committed so that neither `cargo build` nor a browser needs a registry. Versions are exact, the
// lock file carries the hashes, and the output depends on nothing else.
import { readFile, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));

/** The bundle's bytes and the packages that are in it. */
async function bundle() {
  const result = await build({
    absWorkingDir: here,
    entryPoints: ["src/index.js"],
    bundle: true,
    write: false,
    metafile: true,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    logLevel: "warning",
    alias: { "@codemirror/lang-html": "./src/html-stub.js" },
    banner: {
      js: "/* Built by build.mjs from package-lock.json; do not edit. Licences: LICENSES.txt beside this file. */",
    },
    outfile: "editor.js",
  });
  const packages = new Set();
  for (const path of Object.keys(result.metafile.inputs)) {
    const found = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path);
    if (found) packages.add(found[1]);
  }
  return { code: result.outputFiles[0].text, packages: [...packages].sort() };
}

/** Name, version and licence text of each package in the bundle: what their licences ask us to pass on. */
async function licences(packages) {
  const parts = [
    "The file editor.js beside this one contains the following packages, each under its licence.\n",
  ];
  for (const name of packages) {
    const root = join(here, "node_modules", name);
    const meta = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
    const file = (await readdir(root)).find((entry) => /^licen[cs]e/i.test(entry));
    if (!file) throw new Error(`${name} has no licence file`);
    const text = (await readFile(join(root, file), "utf8")).replace(/\r\n?/g, "\n").trim();
    parts.push(
      `${"=".repeat(80)}\n${name} ${meta.version} (${meta.license})\n${"=".repeat(80)}\n\n${text}\n`,
    );
  }
  return parts.join("\n");
}

const { code, packages } = await bundle();
const outputs = { "editor.js": code, "LICENSES.txt": await licences(packages) };
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
