/**
 * What a piece of a text shows by itself. Elements may be pieces of one text, or each whole: then a value that fills one
 * is no word any more beside its neighbours, as a number of a card between other numbers.
 *
 * Only what reaches an edge is looked for: the rest stands in its line as it stands here.
 */
import type { Dlp } from "@agion/policy"

/** No finding is shorter. */
const shortest = 6

/** Of a longer piece both ends are read; the longest pattern fits. */
const endOf = 4096

const word = /[\p{L}\p{N}]/u

const nothing: ReadonlyArray<never> = []

/** What reaches the beginning or the end of a piece. */
export const foundAlone = (dlp: Dlp.Dlp, piece: string): ReadonlyArray<Dlp.Finding> => {
  if (piece.length < shortest) return nothing
  if (piece.length <= 2 * endOf) return reaching(dlp, piece, true, true)
  return [
    ...reaching(dlp, piece.slice(0, endOf), true, false),
    ...reaching(dlp, piece.slice(-endOf), false, true)
  ]
}

const reaching = (
  dlp: Dlp.Dlp,
  text: string,
  isFirst: boolean,
  isLast: boolean
): ReadonlyArray<Dlp.Finding> => {
  const { findings } = dlp.scan(text)
  if (findings.length === 0) return nothing
  return findings.filter(
    // Where an assignment goes on decides whether its value is one; beside its neighbours it is found all the same.
    ({ detector, end, start }) =>
      detector !== "generic-secret" &&
      ((isFirst && !word.test(text.slice(0, start))) || (isLast && !word.test(text.slice(end))))
  )
}
