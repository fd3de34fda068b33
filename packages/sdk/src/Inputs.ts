/**
 * What a program says of a call, a check or an event, looked at before anything runs or is told: a misspelt name would
 * be taken for nothing said, and a time-out that is none for a failure of the agent.
 */
import { actorTypes, isUuid, OrganizationId, permissionTypes, resourceTypes } from "@agion/domain"
import { Effect, Layer, Schema } from "effect"
import type { EventKind } from "./events/Event.ts"
import type { GovernedOptions, Usage } from "./Governance.ts"
import { InputInvalid } from "./InputInvalid.ts"
import { mostCounted, mostUsd } from "./internal/Amounts.ts"
import type { TextIn } from "./internal/ElementText.ts"
import {
  between,
  callable,
  duration,
  type Fault,
  flag,
  isRecord,
  jsonObject,
  listOf,
  misspelt,
  must,
  name,
  object,
  oneOf,
  type Rule,
  type Rules,
  text,
  wrong
} from "./internal/OptionRules.ts"
import type { CheckInput } from "./PermissionCache.ts"
import type { PolicyQuery } from "./PolicyEngine.ts"

/** The error of what a rule finds. */
export const invalid = ({ problem, setting }: Fault): InputInvalid =>
  new InputInvalid({ input: setting, problem })

/** Throws where a rule finds something. */
export const demand = (rule: Rule, value: unknown, at = ""): void => {
  const fault = rule(value, at)
  if (fault !== undefined) throw invalid(fault)
}

const amount = between(0, mostCounted)
const dollars = between(0, mostUsd)

/** What is wrong with what a call says that it used; undefined: nothing. Null is not said. */
export const usageFault = (said: unknown): Fault | undefined => {
  if (!isRecord(said) || said instanceof Promise)
    return wrong("usage", "an object with `tokens` or `costUsd`", said)
  let unknown: string | undefined
  let isSaid = false
  for (const key in said) {
    const value = said[key]
    const isAmount = Object.hasOwn(usage, key)
    if (!isAmount) unknown ??= key
    if (!isAmount || value === undefined || value === null) continue
    isSaid = true
    const fault = (key === "costUsd" ? dollars : amount)(value, key)
    if (fault !== undefined) return fault
  }
  // What an API says of itself may stand beside an amount, not in its place.
  return unknown === undefined || isSaid ? undefined : misspelt(unknown, unknown, Object.keys(usage))
}

/** A resource is called by its id, and found by its name. */
export const resourceId: Rule = (value, at) => {
  if (typeof value === "string" && isUuid(value)) return undefined
  const { problem } = wrong(at, "a resource's id, a UUID", value)
  const help = value instanceof Promise ? "await it" : "find it by its name, as with `agion.resource(name)`"
  return { setting: at, problem: `${problem}; ${help}` }
}

/** Whether text is an id is looked at by who does not know it yet: a call that memory knows waits for less. */
const resource: Rule = (value, at) => (typeof value === "string" ? undefined : resourceId(value, at))

const signal = must(
  "an AbortSignal",
  (value) => isRecord(value) && typeof value["aborted"] === "boolean" && "addEventListener" in value
)

const usage: Rules<Usage> = {
  tokens: amount,
  inputTokens: amount,
  outputTokens: amount,
  costUsd: dollars
}

const optionRules: Rules<GovernedOptions> = {
  permission: oneOf(permissionTypes),
  content: text,
  arguments: jsonObject,
  origin: oneOf(["agent", "user", "tool"]),
  tool: text,
  model: text,
  context: jsonObject,
  metadata: jsonObject,
  estimate: object(usage),
  usage: callable,
  timeout: duration,
  executionId: name
}

/** What a call says beside its options. */
interface Spec {
  readonly action: string
  readonly resource: string
  readonly signal: AbortSignal
}

const specRules: Rules<GovernedOptions & Spec> = {
  ...optionRules,
  action: name,
  resource,
  signal
}

/** A governed call of the promise front. */
export const callSpec: Rule = object(specRules, ["action", "resource"], "spec")

const { usage: _usage, ...streamRules } = specRules

const textIn = object<TextIn<never>>({ get: callable, set: callable }, ["get", "set"])

const scan: Rule = (value, at) =>
  isRecord(value) ? textIn(value, at) : value === undefined ? undefined : flag(value, at)

interface StreamSays {
  readonly scan: unknown
  readonly holdBack: number
}

/** A governed stream of the promise front. */
export const streamSpec: Rule = object<Omit<GovernedOptions, "usage"> & Spec & StreamSays>(
  { ...streamRules, scan, holdBack: between(0, 65_536) },
  ["action", "resource"],
  "spec"
)

const { arguments: _arguments, tool: _tool, executionId: _id, ...shared } = optionRules
const { usage: _said, ...toolRules } = shared

/** What tools are governed by. */
export const toolOptions: Rule = object<Record<keyof typeof toolRules | "action" | "denied", unknown>>({
  ...toolRules,
  action: name,
  denied: oneOf(["value", "throw"])
})

const checkRules: Rules<CheckInput> = {
  resourceId,
  permissionType: oneOf(permissionTypes),
  actorId: name,
  actorType: oneOf(actorTypes),
  organizationId: must("text of 1 to 1,000 characters, and not `*`", Schema.is(OrganizationId)),
  context: jsonObject
}

/** A check. */
export const checkInput: Rule = object(checkRules, ["resourceId"], "input")
const checkNames = new Set(Object.keys(checkRules))

/** True for a check whose values a hit vouches for: no name in it is misspelt, and it has no context. */
export const isHittable = (value: unknown): boolean => {
  if (typeof value !== "object" || value === null || "context" in value) return false
  for (const key in value) if (!checkNames.has(key)) return false
  return true
}

/** How a check is asked. */
export const checkOptions: Rule = object<{ readonly signal: AbortSignal }>({ signal })
/** Checks to ask ahead. */
export const checkInputs: Rule = listOf(checkInput)
/** Resources to hold. */
export const resourceIds: Rule = listOf(resourceId)
/** The name of a resource. */
export const resourceName: Rule = name
/** The type of a resource. */
export const resourceType: Rule = (value, at) =>
  value === undefined ? undefined : oneOf(resourceTypes)(value, at)

const view = must("an object", isRecord)

/** What policies are asked. */
export const policyQuery: Rule = object<PolicyQuery>(
  {
    action: text,
    content: text,
    arguments: view,
    origin: oneOf(["agent", "user", "tool"]),
    tool: text,
    model: text,
    tokens: amount,
    costUsd: amount,
    context: view,
    metadata: view,
    resource: view,
    actor: view
  },
  ["action"],
  "query"
)

const kinds: Readonly<Record<EventKind, true>> = {
  trust: true,
  decision: true,
  mission: true,
  missionMessage: true,
  feedback: true,
  llmInteraction: true,
  usage: true,
  settlement: true,
  release: true,
  audit: true
}

/** The kind of an event. */
export const eventKind: Rule = oneOf(Object.keys(kinds))
/** An event. */
export const event: Rule = view

const isA = (kind: string, value: unknown): boolean =>
  Object.prototype.toString.call(value) === `[object ${kind}]`

/** Functions by their tools' names. */
export const functions: Rule = (value, at) => {
  if (!isRecord(value)) return wrong(at, "an object of functions by their tools' names", value)
  for (const key of Object.keys(value)) {
    const setting = `${at}.${key}`
    const fault = callable(value[key], setting)
    if (fault !== undefined) return fault
    if (isA("GeneratorFunction", value[key]))
      return { setting, problem: "would run after its call has ended; make it an `async function*`" }
  }
  return undefined
}

/** A function that has done its work when it answers. */
export const wrapped: Rule = (value, at) =>
  isA("AsyncGeneratorFunction", value) || isA("GeneratorFunction", value)
    ? {
        setting: at,
        problem: "would run after its call has ended; govern what it yields with `agion.stream`"
      }
    : callable(value, at)

/** A function of the program's. */
export const work: Rule = callable

/** What a function of the program's makes of the contract's methods. */
export const asked: Rule = must(
  "a function that gives an effect, such as `(api) => api.resources.list({ … })`",
  (value) => Effect.isEffect(value)
)
/** Parts of an agent or of a host. */
export const layer: Rule = must("a layer", Layer.isLayer)

/** What is scanned stands in options of its own: in `context` policies would see it, and DLP would not. */
const scannedFault = (context: unknown): Fault | undefined => {
  if (!isRecord(context)) return undefined
  const found = ["content", "arguments"].find((key) => context[key] !== undefined)
  return found === undefined
    ? undefined
    : { setting: `context.${found}`, problem: `is not scanned; give it as \`${found}\` beside \`context\`` }
}

/** What a call could neither be judged nor told by, of any front; what only a miss looks at is left to `missFault`. */
export const callFault = (action: string, { context, timeout }: GovernedOptions<never>): Fault | undefined =>
  scannedFault(context) ??
  name(action, "action") ??
  (timeout === undefined ? undefined : duration(timeout, "timeout"))

/** What a call that memory knows cannot have wrong. */
export const missFault = (resource: string, { permission }: GovernedOptions<never>): Fault | undefined =>
  resourceId(resource, "resource") ??
  (permission === undefined ? undefined : optionRules.permission(permission, "permission"))
