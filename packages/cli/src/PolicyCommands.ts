/** Policies on the command line: check files, run their cases, replay recorded inputs, evaluate expressions. */
import { Cel, loadRe2, PolicyFile, PolicySet } from "@agion/policy"
import { Console, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { readText } from "./Files.ts"
import { eachLine, parseLine } from "./Lines.ts"
import { CommandFailed } from "./Platform.ts"
import { printable, table } from "./Table.ts"

const json = Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))

const files = Argument.String("file").pipe(
  Argument.withDescription("Policy file in YAML"),
  Argument.variadic({ min: 1 })
)

const failed = (message: string) => new CommandFailed({ message })

/** Reads and compiles a file. */
const checked = Effect.fnUntraced(function* (path: string) {
  const text = yield* readText(path)
  yield* Effect.promise(() => loadRe2())
  return PolicyFile.check(text)
})

const located = (path: string, error: PolicyFile.FileError): string =>
  `${path}:${error.line}:${error.column}: ${error.message}\n${error.excerpt}`

/** `agion policy check FILE…`: everything that is wrong, and what looks odd. */
const check = Command.make(
  "check",
  { files, json },
  Effect.fnUntraced(function* (options) {
    let wrong = 0
    for (const path of options.files) {
      const result = yield* checked(path)
      const findings = result.ok ? PolicySet.findings(result.set) : []
      const errors = result.ok ? [] : result.errors
      wrong += errors.length
      if (options.json) yield* Console.log(JSON.stringify({ file: path, ok: result.ok, errors, findings }))
      else {
        for (const error of errors) yield* Console.error(located(path, error))
        for (const { message, policy } of findings)
          yield* Console.log(`${path}: policy \`${policy.name}\`: ${message}`)
        if (result.ok)
          yield* Console.log(`${path}: ${result.set.size} policies, ${result.file.cases.length} cases`)
      }
    }
    if (wrong > 0) return yield* failed(`${wrong} ${wrong === 1 ? "fault" : "faults"} found`)
  })
).pipe(Command.withDescription("Compile policy files and tell everything that is wrong"))

/** `agion policy test FILE…`: runs the cases that stand beside the policies. */
const test = Command.make(
  "test",
  { files, json },
  Effect.fnUntraced(function* (options) {
    let bad = 0
    let good = 0
    for (const path of options.files) {
      const result = yield* checked(path)
      if (!result.ok) return yield* failed(result.errors.map((error) => located(path, error)).join("\n"))
      if (result.file.cases.length === 0)
        return yield* failed(`${path} has no \`cases\`; each is an \`input\` and what to \`expect\``)
      for (const outcome of PolicyFile.test(result.set, result.file.cases)) {
        if (outcome.passed) good++
        else bad++
        if (options.json) yield* Console.log(JSON.stringify({ file: path, ...outcome }))
        else if (!outcome.passed) yield* Console.log(`${path}: ${outcome.name}: ${outcome.message}`)
      }
    }
    if (!options.json) yield* Console.log(`${good} passed, ${bad} failed`)
    if (bad > 0) return yield* failed(`${bad} of ${bad + good} cases decide otherwise`)
  })
).pipe(Command.withDescription("Run the cases of policy files"))

/** `agion policy replay BEFORE AFTER --inputs FILE`: what a changed set would have decided. */
const replay = Command.make(
  "replay",
  {
    before: Argument.String("before").pipe(Argument.withDescription("Policy file in force")),
    after: Argument.String("after").pipe(Argument.withDescription("Policy file to be")),
    inputs: Flag.String("inputs").pipe(Flag.withDescription("Recorded inputs, a JSON object a line")),
    json
  },
  Effect.fnUntraced(function* (options) {
    const sets: Array<PolicySet.PolicySet> = []
    for (const path of [options.before, options.after]) {
      const result = yield* checked(path)
      if (!result.ok) return yield* failed(result.errors.map((error) => located(path, error)).join("\n"))
      sets.push(result.set)
    }
    const [before, after] = sets
    if (before === undefined || after === undefined) return
    const lines = (yield* readText(options.inputs)).split("\n")
    const inputs: Array<PolicySet.PolicyInput> = []
    // The line of the file, from 1, that each input stands on.
    const places: Array<number> = []
    for (const [index, line] of lines.entries()) {
      if (line.trim() === "") continue
      const input = parseLine(line)
      if (input === undefined) return yield* failed(`${options.inputs}:${index + 1}: not a JSON object`)
      inputs.push(input)
      places.push(index + 1)
    }
    const result = PolicySet.replay(before, after, inputs)
    const flips = result.flips.map((flip) => ({ ...flip, line: places[flip.index] ?? 0 }))
    if (options.json) return yield* Console.log(JSON.stringify({ ...result, flips }))
    yield* Console.log(`${result.inputs} inputs, ${result.flips.length} decide otherwise`)
    if (result.flips.length > 0)
      yield* Console.log(
        table(
          ["line", "before", "after", "because"],
          flips.map((flip) => [
            flip.line,
            flip.before,
            flip.after,
            flip.because.map((reason) => `${reason.name}: ${reason.message}`).join("; ")
          ])
        )
      )
  })
).pipe(Command.withDescription("Tell what a changed set would have decided on recorded inputs"))

const wrongLine = {
  error: { code: "input", message: "expected a JSON object {expr, input}", line: 0, column: 0 }
}

const evaluateLine = (line: string) => {
  const value = parseLine(line)
  const expr = value?.["expr"]
  if (value === undefined || typeof expr !== "string") return wrongLine
  const { input } = value
  return evaluated(expr, isRecord(input) ? input : {})
}

const declared = Object.fromEntries(Cel.policyEnvironment.variables)

/** An expression over what a policy sees, and over whatever else the input names. */
const evaluated = (expr: string, input: Cel.Input): Cel.JsonResult => {
  const others = Object.keys(input).filter((name) => !Object.hasOwn(declared, name))
  if (others.length === 0) return Cel.evaluateJson(expr, input)
  const open = Object.fromEntries(others.map((name) => [name, { k: "dyn", open: true } as const]))
  return Cel.evaluateJson(expr, input, { environment: Cel.environment({ ...declared, ...open }) })
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** `agion policy eval --json`: JSON lines in, JSON lines out; or one expression as an argument. */
const evaluate = Command.make(
  "eval",
  {
    expr: Argument.String("expr").pipe(
      Argument.withDescription("An expression; absent: JSON lines {expr, input} from standard input"),
      Argument.optional
    ),
    input: Flag.String("input").pipe(Flag.withDescription("The input as JSON"), Flag.withDefault("{}")),
    json
  },
  Effect.fnUntraced(function* (options) {
    yield* Effect.promise(() => loadRe2())
    if (Option.isNone(options.expr)) return yield* eachLine((line) => JSON.stringify(evaluateLine(line)))
    const input = parseLine(options.input)
    if (input === undefined) return yield* failed(`--input \`${printable(options.input)}\` is no JSON object`)
    const result = evaluated(options.expr.value, input)
    if (options.json || "value" in result) return yield* Console.log(JSON.stringify(result))
    return yield* failed(`${result.error.line}:${result.error.column}: ${result.error.message}`)
  })
).pipe(Command.withDescription("Evaluate expressions"))

/** `agion policy schema`: the JSON Schema that editors complete policy files by. */
const schema = Command.make("schema", {}, () =>
  Console.log(JSON.stringify(PolicyFile.jsonSchema, null, 2))
).pipe(Command.withDescription("Print the JSON Schema of policy files"))

/** `agion policy check | test | replay | eval | schema`. */
export const policy = Command.make("policy").pipe(
  Command.withDescription("Check, test and try policies"),
  Command.withSubcommands([check, test, replay, evaluate, schema])
)
