/**
 * Whom an event names, and whether an agent may say it: trust, usage, missions and messages only of itself, a
 * decision of another actor too, with its own name as `reportedBy`. Whose word an event is decides whose key signs it.
 */
import { type Streams, Wire } from "@agion/domain"
import type { Publication } from "./Event.ts"

const names = new Set(["agent_id", "participant_id", "from_participant"])

/** What an agent of several may publish of an event; undefined: it speaks for another. */
export const saidBy = (agentId: string, publication: Publication): Publication | undefined => {
  const { event, kind } = publication
  // Feedback is about an agent, and never of one.
  if (kind === "feedback") return publication
  const named = namesIn(event)
  if (named === undefined || named.reporters.some((name) => name !== agentId)) return undefined
  const [subject] = named.subjects
  if (named.subjects.some((name) => name !== subject)) return undefined
  if (subject === undefined || subject === agentId) return publication
  return kind === "decision" ? reported(agentId, publication) : undefined
}

/** Whose word an event is, by its fields. */
export const speakerOf = (fields: Streams.Fields): string =>
  fields["reported_by"] ?? fields["agent_id"] ?? fields["participant_id"] ?? fields["from_participant"] ?? ""

interface Named {
  readonly subjects: ReadonlyArray<unknown>
  readonly reporters: ReadonlyArray<unknown>
}

/** All names in an event, by whatever spelling they go out; undefined: they cannot be read. */
const namesIn = (event: object): Named | undefined => {
  try {
    const subjects: Array<unknown> = []
    const reporters: Array<unknown> = []
    for (const key in event) {
      const value: unknown = (event as Record<string, unknown>)[key]
      const name = Wire.snakeCase(key)
      if (value !== undefined && names.has(name)) subjects.push(value)
      if (value !== undefined && name === "reported_by") reporters.push(value)
    }
    return { subjects, reporters }
  } catch {
    return undefined
  }
}

const reported = (agentId: string, publication: Publication): Publication | undefined => {
  try {
    const event: Record<string, unknown> = { reportedBy: agentId }
    for (const key in publication.event) event[key] = (publication.event as object as typeof event)[key]
    return { ...publication, event: event as object } as Publication
  } catch {
    return undefined
  }
}
