/**
 * The functions behind an agent framework's tools, governed in one line and of the same form as before.
 *
 * ```ts
 * const tools = agion.tools(ordersId, { refund, lookUp })
 * ```
 *
 * A function is called as frameworks call it: with what the model gave, then with what the framework adds. Policies
 * see the first as `request.arguments` (what is no object as `input`), further ones in it as `$2`, `$3` and so on, and
 * the function's name as `request.tool`. What a framework adds is not seen: an `AbortSignal`, and an object behind the
 * first place, or with a signal, that has a `toolCallId`, `toolCall`, `callbacks`, `configurable`,
 * `recursionLimit`, `runId`, `requestId` or `sessionId`. A signal, as `signal`, `abortSignal` or itself, stops the call; in its place the
 * function is given the call's own, which a time-out aborts, too.
 *
 * **Gotchas**: an `async function*` is governed as a stream whose elements are not scanned, since who calls it is to
 * have each before it goes on, and keeps the framework's signal. A `function*` is refused: it would run after its call has ended.
 */
import { type DenialValue, denialValue, isDenied } from "../Denials.ts"
import type { GovernedCall, GovernedOptions } from "../Governance.ts"
import { isPlain, seenOfTool } from "./Arguments.ts"
import type { Agion, CallSpec } from "./index.ts"
import { ArgumentUnreadable } from "./Reader.ts"

/** How tools are governed: as any call, and what becomes of a denial. */
export interface ToolOptions extends Omit<GovernedOptions, "arguments" | "tool" | "usage" | "executionId"> {
  /** Default: the tool's name. */
  readonly action?: string
  /**
   * `value`: a denial is what the tool answers, for the model to read. `throw`: it is thrown, for frameworks that
   * hand errors to the model. Default: `value`.
   */
  readonly denied?: "value" | "throw"
}

/** Functions by their tools' names. */
export type Functions = Readonly<Record<string, (...args: never[]) => unknown>>

/** A function of the same form, which may answer a denial instead. */
export type Tool<F, D = DenialValue> = F extends (...args: infer Args) => infer R
  ? R extends AsyncGenerator<infer A, infer B, infer N>
    ? (...args: Args) => AsyncGenerator<A | D, B | D, N>
    : (...args: Args) => Promise<Awaited<R> | D>
  : never

type Callable = (...args: ReadonlyArray<unknown>) => unknown

/** Where a framework puts the signal that aborts a tool. */
const signalNames = ["signal", "abortSignal"] as const

const signalIn = (arg: unknown): AbortSignal | undefined => {
  if (arg instanceof AbortSignal) return arg
  if (typeof arg !== "object" || arg === null) return undefined
  for (const name of signalNames) {
    const value: unknown = Reflect.get(arg, name)
    if (value instanceof AbortSignal) return value
  }
  return undefined
}

/** What a framework adds, with another signal in its place. */
const withSignal = (arg: unknown, stop: AbortSignal): unknown => {
  if (arg instanceof AbortSignal) return stop
  if (!isPlain(arg)) return arg
  const name = signalNames.find((candidate) => Reflect.get(arg, candidate) instanceof AbortSignal)
  return name === undefined ? arg : { ...arg, [name]: stop }
}

/** What only a framework's own object has. */
const frameworkNames = [
  "toolCallId",
  "toolCall",
  "callbacks",
  "configurable",
  "recursionLimit",
  "runId",
  "requestId",
  "sessionId"
] as const

/** True for what a framework adds, which is neither shown to policies nor scanned. */
const isFrameworks = (arg: unknown, at: number): boolean =>
  arg instanceof AbortSignal ||
  (typeof arg === "object" &&
    arg !== null &&
    (at > 0 || signalIn(arg) !== undefined) &&
    frameworkNames.some((name) => name in arg))

/** A call of a tool, taken apart. A tool without parameters may be given only what the framework adds. */
const specOf = (name: string, resource: string, options: ToolOptions, args: ReadonlyArray<unknown>) => {
  const { denied: _denied, action = name, ...rest } = options
  const signal = args.map(signalIn).find((found) => found !== undefined)
  const seen = seenOfTool(args, isFrameworks)
  const spec: Omit<CallSpec, "usage"> = {
    ...rest,
    action,
    resource,
    tool: name,
    arguments: seen.arguments,
    ...(signal === undefined ? {} : { signal })
  }
  /** The arguments as they were judged: redacted where DLP says so. */
  const now = (call: GovernedCall): ReadonlyArray<unknown> => seen.handedOn(call.arguments)
  return { spec, now }
}

/** What becomes of an error: what kept the call from running is an answer, unless the tool throws. */
const refused = (error: unknown, { denied = "value" }: ToolOptions): DenialValue => {
  if (denied === "value" && isDenied(error)) return denialValue(error)
  if (denied === "value" && error instanceof ArgumentUnreadable) return unreadableValue(error)
  throw error
}

/** An argument that could not be shown to policies, as a value that a model can read. */
const unreadableValue = ({ code, message }: ArgumentUnreadable): DenialValue => ({
  denied: true,
  code,
  message,
  reason: "Argument unreadable",
  retryAfterMs: null,
  remedy: "change_content"
})

const isGenerator = (work: Callable): work is (...args: ReadonlyArray<unknown>) => AsyncGenerator<unknown> =>
  Object.prototype.toString.call(work) === "[object AsyncGeneratorFunction]"

/** A tool that is governed each time it is called. */
export const toolOf = (
  agion: Agion,
  name: string,
  resource: string,
  work: Callable,
  options: ToolOptions
): Callable => {
  if (isGenerator(work))
    return async function* (...args) {
      let last: unknown
      try {
        const { spec, now } = specOf(name, resource, options, args)
        const running = async function* (call: GovernedCall) {
          last = yield* work(...now(call))
        }
        yield* agion.stream({ ...spec, scan: false }, running)
      } catch (error) {
        last = refused(error, options)
        yield last
      }
      return last
    }
  return async (...args) => {
    try {
      const { spec, now } = specOf(name, resource, options, args)
      return await agion.governed<unknown>(spec, (call) =>
        work(...now(call).map((arg, at) => (at === 0 && !signalIn(arg) ? arg : withSignal(arg, call.signal))))
      )
    } catch (error) {
      return refused(error, options)
    }
  }
}
