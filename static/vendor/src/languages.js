// Languages of fenced code: small stream tokenisers, so that all of them together weigh less than one full
// grammar. CSS and SQL are not here: their word lists alone would add a tenth to the bundle.
import { LanguageDescription, LanguageSupport, StreamLanguage } from "@codemirror/language";
import { c, cpp, csharp, java, kotlin } from "@codemirror/legacy-modes/mode/clike";
import { diff } from "@codemirror/legacy-modes/mode/diff";
import { dockerFile } from "@codemirror/legacy-modes/mode/dockerfile";
import { go } from "@codemirror/legacy-modes/mode/go";
import { javascript, json, typescript } from "@codemirror/legacy-modes/mode/javascript";
import { python } from "@codemirror/legacy-modes/mode/python";
import { ruby } from "@codemirror/legacy-modes/mode/ruby";
import { rust } from "@codemirror/legacy-modes/mode/rust";
import { shell } from "@codemirror/legacy-modes/mode/shell";
import { toml } from "@codemirror/legacy-modes/mode/toml";
import { html, xml } from "@codemirror/legacy-modes/mode/xml";
import { yaml } from "@codemirror/legacy-modes/mode/yaml";

const language = (name, alias, mode) =>
  LanguageDescription.of({ name, alias, support: new LanguageSupport(StreamLanguage.define(mode)) });

/** What may stand after the three backticks. */
export const codeLanguages = [
  language("c", ["h"], c),
  language("c++", ["cpp", "cc", "hpp"], cpp),
  language("c#", ["csharp", "cs"], csharp),
  language("diff", ["patch"], diff),
  language("dockerfile", ["docker"], dockerFile),
  language("go", ["golang"], go),
  language("html", ["htm"], html),
  language("java", [], java),
  language("javascript", ["js", "mjs", "jsx"], javascript),
  language("json", ["jsonc"], json),
  language("kotlin", ["kt"], kotlin),
  language("python", ["py"], python),
  language("ruby", ["rb"], ruby),
  language("rust", ["rs"], rust),
  language("shell", ["sh", "bash", "zsh", "console"], shell),
  language("toml", [], toml),
  language("typescript", ["ts", "tsx"], typescript),
  language("xml", ["svg"], xml),
  language("yaml", ["yml"], yaml),
];
