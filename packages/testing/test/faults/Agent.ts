/** An agent in a process of its own, and what it has said so far. */
import { Effect, type Scope } from "effect"
import * as Children from "./Children.ts"
import type { AgentLine, AgentOrder, AgentPlan, Asked } from "./Lines.ts"
import { until } from "./Wait.ts"

/** A running agent, or one that was. */
export interface Agent {
  readonly plan: AgentPlan
  /** Decisions in order. */
  readonly asked: ReadonlyArray<Asked>
  /** Questions that the platform refused, a line each. */
  readonly refused: ReadonlyArray<string>
  /** Number of the last event that it has told of. */
  readonly last: () => number
  /** Events that it could not take in. */
  readonly dropped: () => number
  readonly order: (order: AgentOrder) => Effect.Effect<void>
  readonly report: Effect.Effect<Extract<AgentLine, { readonly _tag: "Report" }>>
  /** Waits until a decision about a question, begun after `since`, is as wanted. */
  readonly sees: (name: string, since: number, wanted: (asked: Asked) => boolean) => Effect.Effect<Asked>
  /** Waits until it holds its trust and the records of all resources. */
  readonly holds: Effect.Effect<void>
  /** Waits until it has told of so many more events. */
  readonly tells: (more: number) => Effect.Effect<void>
  readonly isAlive: () => boolean
  readonly kill: Effect.Effect<void>
  readonly close: Effect.Effect<void>
}

/** Starts an agent; it ends with the scope. */
export const start = Effect.fnUntraced(function* (
  plan: AgentPlan
): Effect.fn.Return<Agent, never, Scope.Scope> {
  const asked: Array<Asked> = []
  const refused: Array<string> = []
  const reports: Array<Extract<AgentLine, { readonly _tag: "Report" }>> = []
  let last = plan.first - 1
  let dropped = 0
  let isReady = false
  let holdsAll = false
  const hear = (text: string) => {
    // What a kill cut short says nothing.
    if (!text.endsWith("}")) return
    const line: AgentLine = JSON.parse(text)
    if (line._tag === "Asked") asked.push(line)
    else if (line._tag === "Refused") refused.push(`${line.name}: ${line.reason}`)
    else if (line._tag === "Report") reports.push(line)
    else if (line._tag === "Ready") isReady = true
    else if (line._tag === "Held") holdsAll = true
    else if (line._tag === "Told") ({ dropped, last } = line)
  }
  const child = yield* Children.start("faultAgent.ts", [JSON.stringify(plan)], hear)
  const order = (what: AgentOrder) => child.say(JSON.stringify(what))
  yield* until(
    "an agent",
    Effect.sync(() => isReady || child.complaints()),
    (ready) => ready === true
  )
  return {
    plan,
    asked,
    refused,
    last: () => last,
    dropped: () => dropped,
    order,
    report: Effect.gen(function* () {
      const before = reports.length
      yield* order({ _tag: "Report" })
      const found = yield* until(
        "a report",
        Effect.sync(() => reports[before]),
        (report) => report !== undefined
      )
      return found ?? (yield* Effect.die(new Error("no report")))
    }),
    sees: (name, since, wanted) =>
      Effect.gen(function* () {
        const matches = (one: Asked) => one.name === name && one.from >= since && wanted(one)
        const found = yield* until(
          `a decision about ${name} of ${plan.agentId}`,
          Effect.sync(() => asked.find(matches) ?? { last: asked.findLast((one) => one.name === name) }),
          (one) => "_tag" in one
        )
        return "_tag" in found ? found : yield* Effect.die(new Error("no decision"))
      }),
    holds: Effect.asVoid(
      until(
        `what ${plan.agentId} holds`,
        Effect.sync(() => holdsAll),
        (all) => all
      )
    ),
    tells: (more) =>
      Effect.suspend(() => {
        const enough = last + more
        return Effect.asVoid(
          until(
            `${more} events of ${plan.agentId}`,
            Effect.sync(() => last),
            (now) => now >= enough
          )
        )
      }),
    isAlive: child.isAlive,
    kill: child.kill,
    close: Effect.andThen(order({ _tag: "Close" }), Effect.asVoid(child.ended))
  }
})
