// Types of the bundle, for tsc: the packages' own where they are installed (npm ci), unresolved where they are not.
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
} from '@codemirror/state'
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
} from '@codemirror/view'
export {
  copyLineDown,
  defaultKeymap,
  indentLess,
  indentMore,
  temporarilySetTabFocusMode,
  toggleTabFocusMode,
} from '@codemirror/commands'
export {
  LanguageDescription,
  LanguageSupport,
  StreamLanguage,
  bracketMatching,
  indentUnit,
  syntaxHighlighting,
  syntaxTree,
} from '@codemirror/language'
export { Tag, styleTags, tagHighlighter, tags } from '@lezer/highlight'
export {
  deleteMarkupBackward,
  insertNewlineContinueMarkup,
  markdown,
  markdownKeymap,
  markdownLanguage,
} from '@codemirror/lang-markdown'
export {
  closeSearchPanel,
  highlightSelectionMatches,
  openSearchPanel,
  search,
  searchKeymap,
} from '@codemirror/search'
export { autocompletion, completionKeymap, completionStatus, startCompletion } from '@codemirror/autocomplete'
export * as Y from 'yjs'
export { ySyncAnnotation, ySyncFacet, yCollab } from 'y-codemirror.next'
export type { DecorationSet, ViewUpdate } from '@codemirror/view'
export type { Extension, StateEffectType } from '@codemirror/state'
export type { CompletionContext } from '@codemirror/autocomplete'
import type { LanguageDescription } from '@codemirror/language'

export declare const codeLanguages: readonly LanguageDescription[]
