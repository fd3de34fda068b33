/**
 * A view without what stands inside its words: tags of HTML, the colours of a terminal, and the quotes and operators
 * between two parts of a string.
 */
import { type View, ViewBuilder } from "./View.ts"

const TAG =
  /<(?:!--[^<>]{0,120}--|\/?([a-zA-Z][a-zA-Z0-9-]{0,15})(?:[\s/][^<>]{0,200})?)>|\p{Cc}\[[0-9;?]{0,16}[A-Za-z]/uy
const CONCAT = /\\?(?:["']\s{1,40}|["'`]\s{0,40}(?:[+.&|~]{1,2}|<>|\\)\s{0,40})[bBrRfFuUL]?\\?["'`]/y
const BLOCK = /^(?:t[dhr]|li|p|div|h[1-6]|table|[uod]l|option|section|article|pre|script|style|d[td])$/i

/** Whether two parts of a string are joined behind the closing quote at `at`. */
export const isConcat = (text: string, at: number): boolean => {
  CONCAT.lastIndex = at
  return CONCAT.test(text)
}

const COMMENT = /\/\*[^*]{0,64}\*\//y

/** Whether the comment that opens at `at` stands inside a word. */
export const isInnerComment = (text: string, at: number): boolean => {
  if (!(text.charCodeAt(at - 1) > 32)) return false
  COMMENT.lastIndex = at
  return COMMENT.test(text) && text.charCodeAt(COMMENT.lastIndex) > 32
}

/** Where what has to go ends, if it begins at `at`. */
const gone = (text: string, at: number, unit: number): RegExpExecArray | null => {
  const pattern =
    unit === 60 || unit === 27
      ? TAG
      : unit === 34 || unit === 39 || unit === 96 || unit === 92
        ? CONCAT
        : unit === 47
          ? COMMENT
          : undefined
  if (pattern === undefined) return null
  pattern.lastIndex = at
  return pattern.exec(text)
}

/** Takes it away; what ends a paragraph or a cell leaves a line break. */
export const strip = (view: View): View => {
  const { text } = view
  const builder = new ViewBuilder(view)
  let kept = 0
  for (let i = 0; i < text.length; ) {
    const match = gone(text, i, text.charCodeAt(i))
    if (match === null) {
      i++
      continue
    }
    builder.keep(kept, i)
    kept = i + match[0].length
    if (match[1] !== undefined && BLOCK.test(match[1])) builder.put(10, i, kept)
    i = kept
  }
  builder.keep(kept, text.length)
  return builder.build()
}
