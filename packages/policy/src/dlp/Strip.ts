/**
 * A view without the mark-up inside its words: tags of HTML and the colours of a terminal.
 */
import { type View, ViewBuilder } from "./View.ts"

const TAG =
  /<(?:!--[^<>]{0,120}--|\/?([a-zA-Z][a-zA-Z0-9-]{0,15})(?:[\s/][^<>]{0,200})?)>|\p{Cc}\[[0-9;?]{0,16}[A-Za-z]/uy
const BLOCK = /^(?:t[dhr]|li|p|div|h[1-6]|table|[uod]l|option|section|article|pre|script|style|d[td])$/i

/** Takes the mark-up away; what ends a paragraph or a cell leaves a line break. */
export const strip = (view: View): View => {
  const { text } = view
  const builder = new ViewBuilder(view)
  for (let i = 0; i < text.length; ) {
    const unit = text.charCodeAt(i)
    if (unit === 60 || unit === 27) {
      TAG.lastIndex = i
      const match = TAG.exec(text)
      if (match !== null) {
        if (match[1] !== undefined && BLOCK.test(match[1])) builder.put(10, i, i + match[0].length)
        i += match[0].length
        continue
      }
    }
    builder.keep(i++)
  }
  return builder.build()
}
