/** Secrets and personal data on the command line. */
import { Dlp } from "@agion/policy"
import { Console, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { readText } from "./Files.ts"
import { eachLine, parseLine } from "./Lines.ts"
import { CommandFailed } from "./Platform.ts"
import { table } from "./Table.ts"

const dlp = Dlp.make()

const shown = (result: Dlp.ScanResult) => ({
  decision: result.decision,
  findings: result.findings.map(({ kind, detector, start, end, action }) => ({
    kind,
    detector,
    start,
    end,
    action
  }))
})

/** The line in which each finding begins, from 1; `findings` in order of their start. */
const linesOf = (text: string, findings: ReadonlyArray<Dlp.Finding>): ReadonlyArray<number> => {
  let line = 1
  let next = text.indexOf("\n")
  return findings.map(({ start }) => {
    while (next >= 0 && next < start) {
      line++
      next = text.indexOf("\n", next + 1)
    }
    return line
  })
}

/** How bad each decision is. */
const ranks: Readonly<Record<Dlp.Decision, number>> = { allow: 0, redact: 1, block: 2 }

const failed = (failOn: "block" | "redact", decision: Dlp.Decision): boolean =>
  ranks[decision] >= ranks[failOn]

const scanLine = (line: string, note: (decision: Dlp.Decision) => void): string => {
  const value = parseLine(line)
  const text = value?.["text"]
  if (value === undefined || typeof text !== "string")
    return JSON.stringify({
      id: value?.["id"] ?? null,
      error: { message: "expected a JSON object {id, text}" }
    })
  const result = dlp.scan(text)
  note(result.decision)
  return JSON.stringify({ id: value["id"] ?? null, ...shown(result) })
}

/** `agion dlp scan [FILE…]`: files, or JSON lines `{id, text}` from standard input. */
const scan = Command.make(
  "scan",
  {
    files: Argument.String("file").pipe(
      Argument.withDescription("Files to scan; absent: JSON lines {id, text} from standard input"),
      Argument.variadic({ min: 0 })
    ),
    json: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false)),
    failOn: Flag.Literals("fail-on", ["block", "redact"]).pipe(
      Flag.withDescription("Exit 1 if a decision is at least this; absent: exit 0 whatever is found"),
      Flag.optional
    )
  },
  Effect.fnUntraced(function* (options) {
    let bad = 0
    const note = (decision: Dlp.Decision) => {
      if (Option.exists(options.failOn, (failOn) => failed(failOn, decision))) bad++
    }
    if (options.files.length === 0) yield* eachLine((line) => scanLine(line, note))
    for (const path of options.files) {
      const text = yield* readText(path)
      const result = dlp.scan(text)
      note(result.decision)
      if (options.json) {
        yield* Console.log(JSON.stringify({ id: path, ...shown(result) }))
        continue
      }
      yield* Console.log(`${path}: ${result.decision}`)
      const lines = linesOf(text, result.findings)
      if (result.findings.length > 0)
        yield* Console.log(
          table(
            ["kind", "detector", "line", "action"],
            result.findings.map((finding, i) => [
              finding.kind,
              finding.detector,
              lines[i] ?? 1,
              finding.action
            ])
          )
        )
    }
    if (bad > 0)
      return yield* new CommandFailed({ message: `${bad} of the texts must not be said as they are` })
  })
).pipe(Command.withDescription("Find secrets and personal data; their values are never printed"))

/** `agion dlp scan`. */
export const dlpCommand = Command.make("dlp").pipe(
  Command.withDescription("Find secrets and personal data"),
  Command.withSubcommands([scan])
)
