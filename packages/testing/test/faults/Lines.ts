/** What an agent of the fault tests and the test say to each other, a line of JSON each. */
import type { Wire } from "@agion/domain"

/** One question that an agent asks all the time. */
export interface Question {
  readonly name: string
  readonly resourceId: string
  readonly permissionType?: "use" | "write"
  readonly context?: Wire.JsonObject
  /** It is asked once the agent is told to. */
  readonly later?: boolean
}

/** What an agent is to do from its start. */
export interface AgentPlan {
  readonly agentId: string
  readonly gatewayUrl: string
  /** Absent: everything over HTTP. */
  readonly redisUrl?: string
  readonly directory: string
  readonly questions: ReadonlyArray<Question>
  /** Which book its events belong to, 0 to 4095. */
  readonly book: number
  /** Number of its first event. */
  readonly first: number
  readonly eventsPerSecond: number
}

/** A decision; times are milliseconds of the machine's monotonic clock. */
export interface Asked {
  readonly _tag: "Asked"
  readonly name: string
  readonly from: number
  readonly to: number
  readonly allowed: boolean
  readonly mode: string
  readonly source: string
  readonly rule: string | null
}

/** What the agent says. */
export type AgentLine =
  | Asked
  /** The platform refused the question itself. */
  | {
      readonly _tag: "Refused"
      readonly name: string
      readonly from: number
      readonly to: number
      readonly reason: string
    }
  | { readonly _tag: "Ready" }
  /** It holds its trust and the records of all resources. */
  | { readonly _tag: "Held" }
  /** Events up to `last` (from the plan's first) were taken in. */
  | { readonly _tag: "Told"; readonly last: number; readonly dropped: number }
  | {
      readonly _tag: "Report"
      readonly storage: string
      readonly refusedBundles: number
      readonly policyVersion: number | null
      readonly pending: number
    }
  | { readonly _tag: "Closed" }

/** What the agent is told. */
export type AgentOrder =
  | { readonly _tag: "Ask"; readonly name: string }
  | { readonly _tag: "Disk"; readonly full: boolean }
  | { readonly _tag: "Clock"; readonly millis: number }
  | { readonly _tag: "Rate"; readonly eventsPerSecond: number }
  | { readonly _tag: "Report" }
  | { readonly _tag: "Close" }

/** Milliseconds of a clock that all processes of this machine share and that only moves forward. */
export const milliseconds = (): number => Number(process.hrtime.bigint()) / 1e6

const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, "0")

/** The start of all ids of a book. */
export const bookPrefix = (book: number): string => `019a0000-0000-7000-8${hex(book, 3)}-`

/** The id of a book's event. */
export const eventIdOf = (book: number, n: number): string => `${bookPrefix(book)}${hex(n, 12)}`

/** Whose score the event raises by two: each gets twenty at most, so that none reaches the end of the scale. */
export const entityOf = (book: number, n: number): string => `book-${book}-${Math.floor(n / 20)}`
