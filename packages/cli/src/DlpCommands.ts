/** Secrets and personal data on the command line. */
import { Dlp } from "@agion/policy"
import { Console, Effect, FileSystem } from "effect"
import { Argument, Command, Flag } from "effect/cli"
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

const scanLine = (line: string): string => {
  const value = parseLine(line)
  const text = value?.["text"]
  if (value === undefined || typeof text !== "string")
    return JSON.stringify({
      id: value?.["id"] ?? null,
      error: { message: "expected a JSON object {id, text}" }
    })
  return JSON.stringify({ id: value["id"] ?? null, ...shown(dlp.scan(text)) })
}

/** `agion dlp scan [FILE…]`: files, or JSON lines `{id, text}` from standard input. */
const scan = Command.make(
  "scan",
  {
    files: Argument.String("file").pipe(
      Argument.withDescription("Files to scan; absent: JSON lines {id, text} from standard input"),
      Argument.variadic({ min: 0 })
    ),
    json: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))
  },
  Effect.fnUntraced(function* (options) {
    if (options.files.length === 0) return yield* eachLine(scanLine)
    const fs = yield* FileSystem.FileSystem
    for (const path of options.files) {
      const text = yield* fs
        .readFileString(path)
        .pipe(
          Effect.mapError(
            (error) => new CommandFailed({ message: `cannot read \`${path}\`: ${error.message}` })
          )
        )
      const result = dlp.scan(text)
      if (options.json) {
        yield* Console.log(JSON.stringify({ id: path, ...shown(result) }))
        continue
      }
      yield* Console.log(`${path}: ${result.decision}`)
      if (result.findings.length > 0)
        yield* Console.log(
          table(
            ["kind", "detector", "line", "action"],
            result.findings.map((finding) => [
              finding.kind,
              finding.detector,
              text.slice(0, finding.start).split("\n").length,
              finding.action
            ])
          )
        )
    }
  })
).pipe(Command.withDescription("Find secrets and personal data; their values are never printed"))

/** `agion dlp scan`. */
export const dlpCommand = Command.make("dlp").pipe(
  Command.withDescription("Find secrets and personal data"),
  Command.withSubcommands([scan])
)
