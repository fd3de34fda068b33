/**
 * Appending events to streams so that a repetition adds nothing: one script sets
 * a guard for each event id and appends the entry, or finds the guard.
 *
 * The rule exists twice, as `script` for Redis and as `append`, a function over a
 * plain state; one property drives both.
 *
 * A replica takes nothing at all, which is the answer to the whole script: it is the connection's fault, and no event's.
 * Versions of Redis before 7 say before such a fault of the server's own where in the script it was met.
 *
 * **Gotchas**: a guard lives as long as `guardTtl`: a repetition after that is
 * appended again, so readers stay idempotent by event id.
 */
import { Redis } from "effect/persistence"

/** An event on its way to a stream. */
export interface Guarded {
  readonly stream: string
  /** Given once to an event and never to another; the guard is kept by stream and id. */
  readonly eventId: string
  readonly fields: Readonly<Record<string, string>>
}

/** What became of an event; `id` is the stream's entry. */
export type Appended =
  | { readonly _tag: "Appended"; readonly id: string }
  /** It was there before, as entry `id`. */
  | { readonly _tag: "Duplicate"; readonly id: string }
  /** Redis refused this one, for the reason in its own words. */
  | { readonly _tag: "Refused"; readonly reason: string }

/** The key that remembers an event. */
export const guardKey = (event: { readonly stream: string; readonly eventId: string }) =>
  `agion:guard:{${event.stream}}:${event.eventId}`

/** Fields as Redis takes them: name, value, name, value. */
export const flatten = (fields: Readonly<Record<string, string>>): ReadonlyArray<string> =>
  Object.entries(fields).flat()

/** What the script answers, an array for each event: `{"+" or "=", entry id}` or `{"-", reason}`. */
export type ScriptReply = ReadonlyArray<readonly [outcome: string, value: string]>

/** Appends a batch; guards live `guardTtlMillis` milliseconds. */
export const script = Redis.script(
  (events: ReadonlyArray<Guarded>, guardTtlMillis: number) => [
    ...events.flatMap((event) => [guardKey(event), event.stream]),
    guardTtlMillis,
    ...events.flatMap((event) => {
      const fields = flatten(event.fields)
      return [fields.length, ...fields]
    })
  ],
  {
    numberOfKeys: (events) => events.length * 2,
    lua: `
local answers = {}
local at = 2
for i = 1, #KEYS, 2 do
  local size = tonumber(ARGV[at])
  local known = redis.call('GET', KEYS[i])
  if known then
    answers[#answers + 1] = { '=', known }
  else
    local added = redis.pcall('XADD', KEYS[i + 1], '*', unpack(ARGV, at + 1, at + size))
    if type(added) == 'table' then
      local reason = string.gsub(string.gsub(added.err, '^@user_script: %d+: %-?', ''), '%s+$', '')
      if string.find(reason, '^READONLY') then return redis.error_reply(reason) end
      answers[#answers + 1] = { '-', reason }
    else
      redis.call('SET', KEYS[i], added, 'PX', ARGV[1])
      answers[#answers + 1] = { '+', added }
    end
  end
  at = at + size + 1
end
return answers`
  }
).withReturnType<ScriptReply>()

/** The script's answer in our words. */
export const decode = (reply: ScriptReply): ReadonlyArray<Appended> =>
  reply.map(([outcome, value]) =>
    outcome === "+"
      ? { _tag: "Appended", id: value }
      : outcome === "="
        ? { _tag: "Duplicate", id: value }
        : { _tag: "Refused", reason: value }
  )

/** Streams and guards, as plain values: what the script's twin works on. */
export interface State {
  readonly guards: ReadonlyMap<string, { readonly id: string; readonly expiresAt: number }>
  readonly streams: ReadonlyMap<
    string,
    ReadonlyArray<{ readonly id: string; readonly fields: ReadonlyArray<string> }>
  >
  /** How many entries were ever appended; ids are counted from it. */
  readonly appended: number
}

/** Nothing appended, nothing guarded. */
export const empty: State = { guards: new Map(), streams: new Map(), appended: 0 }

/** The script's twin: the same rule at time `now` (epoch milliseconds), with ids of its own (`1`, `2`, …). */
export const append = (
  state: State,
  events: ReadonlyArray<Guarded>,
  guardTtlMillis: number,
  now: number
): readonly [State, ReadonlyArray<Appended>] => {
  const guards = new Map(state.guards)
  const streams = new Map(state.streams)
  let appended = state.appended
  const answers = events.map((event): Appended => {
    const known = guards.get(guardKey(event))
    if (known !== undefined && known.expiresAt > now) return { _tag: "Duplicate", id: known.id }
    const fields = flatten(event.fields)
    if (fields.length === 0) return { _tag: "Refused", reason: "an entry needs a field" }
    appended += 1
    const id = String(appended)
    guards.set(guardKey(event), { id, expiresAt: now + guardTtlMillis })
    streams.set(event.stream, [...(streams.get(event.stream) ?? []), { id, fields }])
    return { _tag: "Appended", id }
  })
  return [{ guards, streams, appended }, answers]
}
