/** Standard input as lines, answered one by one in order. */
import { Effect, Stdio, Stream } from "effect"

/** The longest line that is read, in characters. */
const maxLine = 16_777_216

/** Writes an answer for each line of standard input; empty lines are passed over. */
export const eachLine = Effect.fnUntraced(function* (answer: (line: string) => string) {
  const stdio = yield* Stdio.Stdio
  yield* stdio.stdin.pipe(
    Stream.decodeText,
    Stream.splitLines,
    Stream.filter((line) => line.trim() !== ""),
    Stream.map((line) => `${answer(line)}\n`),
    Stream.run(stdio.stdout())
  )
})

/** A JSON object; undefined when the text is none. */
export const parseLine = (text: string): Record<string, unknown> | undefined => {
  if (text.length > maxLine) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
