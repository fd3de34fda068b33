/**
 * Whom an event names, and whether an agent may say it: trust, usage, missions and messages only of itself, a
 * decision of another actor too, with its own name beside it.
 */
import { type Streams, Wire } from "@agion/domain"
import type { Publication } from "./Event.ts"

const names = new Set(["agent_id", "participant_id", "from_participant"])

/** What a decision about another may not bring: an execution has the agent that named it first, and ids are used up. */
const withheld = new Set(["execution_id", "event_id", "context"])

const mark = '{"told_by":'

/** What an agent of several may publish of an event; undefined: it speaks for another. */
export const saidBy = (agentId: string, publication: Publication): Publication | undefined => {
  const { event, kind } = publication
  // Feedback is about an agent, and never of one.
  if (kind === "feedback") return publication
  const named = namesIn(event)
  if (named === undefined) return undefined
  if (named.every((name) => name === agentId)) return publication
  const isAboutOne = named.length === 1 || named.every((name) => name === named[0])
  return kind === "decision" && isAboutOne ? told(agentId, publication) : undefined
}

/** True for the fields of a decision that one actor tells of another: no key is that actor's word. */
export const isToldByAnother = (fields: Streams.Fields): boolean =>
  fields["context"]?.startsWith(mark) === true

/** All names in an event, by whatever spelling they go out; undefined: they cannot be read. */
const namesIn = (event: object): ReadonlyArray<unknown> | undefined => {
  try {
    const found: Array<unknown> = []
    for (const key in event) {
      const value: unknown = (event as Record<string, unknown>)[key]
      if (value !== undefined && names.has(Wire.snakeCase(key))) found.push(value)
    }
    return found
  } catch {
    return undefined
  }
}

const told = (agentId: string, publication: Publication): Publication | undefined => {
  const event: Record<string, unknown> = {}
  try {
    for (const key in publication.event)
      if (!withheld.has(Wire.snakeCase(key))) event[key] = (publication.event as object as typeof event)[key]
  } catch {
    return undefined
  }
  event["context"] = { told_by: agentId }
  return { ...publication, event: event as object } as Publication
}
