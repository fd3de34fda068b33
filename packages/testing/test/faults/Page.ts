/** The table of docs/reliability.md: written by a run with `AGION_WRITE_DOCS=1`, else only read. */
import { readFileSync, writeFileSync } from "node:fs"
import type { Outcome } from "./Scene.ts"

const file = new URL("../../../../docs/reliability.md", import.meta.url)
const start = "<!-- faults -->\n"
const end = "<!-- /faults -->"

/** A fault that was played. */
export interface Played extends Outcome {
  readonly fault: string
  /** What happens, in a sentence. */
  readonly what: string
}

const head = [
  "fault",
  "what happens",
  "decisions",
  "wrong",
  "events",
  "lost",
  "twice",
  "decides again",
  "denies",
  "events all there"
]

const seconds = (millis: number | null): string => (millis === null ? "" : `${(millis / 1000).toFixed(1)} s`)

const count = (n: number): string => n.toLocaleString("en-US")

const line = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |\n`

const rowOf = (played: Played): string =>
  line([
    played.fault,
    played.what,
    count(played.decisions),
    "0",
    count(played.events),
    count(played.lost),
    count(played.twice),
    seconds(played.recoveredMs),
    seconds(played.deniedMs),
    seconds(played.arrivedMs)
  ])

/** Replaces the table by what a run printed. */
export const write = (rows: ReadonlyArray<Played>): void => {
  const page = readFileSync(file, "utf8")
  const table = line(head) + line(head.map(() => "---")) + rows.map(rowOf).join("")
  const from = page.indexOf(start) + start.length
  writeFileSync(file, `${page.slice(0, from)}\n${table}\n${page.slice(page.indexOf(end))}`)
}

/** What the page says of each fault: wrong decisions, events lost and twice. */
export const read = (): ReadonlyMap<string, ReadonlyArray<string | undefined>> => {
  const page = readFileSync(file, "utf8")
  const table = page.slice(page.indexOf(start) + start.length, page.indexOf(end))
  const rows = table.split("\n").filter((text) => text.startsWith("| "))
  return new Map(
    rows.slice(2).map((text) => {
      const cells = text
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim())
      return [cells[0] ?? "", [cells[3], cells[5], cells[6]]] as const
    })
  )
}
