// What the editor uses of other people's code, and nothing else: the bundle is what a writer's browser loads.
export {
  Annotation,
  ChangeSet,
  Compartment,
  EditorSelection,
  EditorState,
  Facet,
  Prec,
  RangeSet,
  StateEffect,
  StateField,
  Text,
  Transaction,
} from "@codemirror/state";
export {
  Decoration,
  EditorView,
  ViewPlugin,
  WidgetType,
  drawSelection,
  dropCursor,
  highlightActiveLine,
  highlightSpecialChars,
  keymap,
  placeholder,
  rectangularSelection,
  runScopeHandlers,
} from "@codemirror/view";
export {
  copyLineDown,
  defaultKeymap,
  indentLess,
  indentMore,
  temporarilySetTabFocusMode,
  toggleTabFocusMode,
} from "@codemirror/commands";
export {
  LanguageDescription,
  LanguageSupport,
  StreamLanguage,
  bracketMatching,
  indentUnit,
  syntaxHighlighting,
  syntaxTree,
} from "@codemirror/language";
export { Tag, styleTags, tagHighlighter, tags } from "@lezer/highlight";
export {
  deleteMarkupBackward,
  insertNewlineContinueMarkup,
  markdown,
  markdownKeymap,
  markdownLanguage,
} from "@codemirror/lang-markdown";
export {
  closeSearchPanel,
  highlightSelectionMatches,
  openSearchPanel,
  search,
  searchKeymap,
} from "@codemirror/search";
export {
  autocompletion,
  completionKeymap,
  completionStatus,
  startCompletion,
} from "@codemirror/autocomplete";
export * as Y from "yjs";
export { ySyncAnnotation, ySyncFacet, yCollab } from "y-codemirror.next";
export { codeLanguages } from "./languages.js";
