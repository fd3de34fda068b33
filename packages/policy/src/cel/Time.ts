/**
 * Timestamps and durations: reading, writing, parts in a time zone. Nanoseconds throughout; a timestamp lies in
 * the years 1 to 9999, a duration within ±10,000 years.
 */
import { Duration, Timestamp } from "./Value.ts"

const SECOND = 1_000_000_000n
const MIN_NS = -62135596800n * SECOND
const MAX_NS = 253402300800n * SECOND - 1n
const MAX_DURATION = 315576000000n * SECOND

/** A timestamp, or undefined outside the years 1 to 9999. */
export const timestampOf = (ns: bigint): Timestamp | undefined =>
  ns < MIN_NS || ns > MAX_NS ? undefined : new Timestamp(ns)

/** A duration, or undefined beyond ±315,576,000,000 seconds. */
export const durationOf = (ns: bigint): Duration | undefined =>
  ns < -MAX_DURATION || ns > MAX_DURATION ? undefined : new Duration(ns)

const RFC3339 =
  /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d{2}):(\d{2}))$/

/** Reads RFC 3339; undefined when the text is none. */
export const parseTimestamp = (text: string): Timestamp | undefined => {
  if (text.length > 40) return undefined
  const m = RFC3339.exec(text)
  if (m === null) return undefined
  const part = (i: number): number => Number(m[i] ?? 0)
  const [year, month, day, hour, minute, second] = [part(1), part(2), part(3), part(4), part(5), part(6)]
  if (hour > 23 || minute > 59 || second > 59 || part(10) > 23 || part(11) > 59) return undefined
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined
  date.setUTCHours(hour, minute, second)
  const offset = (part(10) * 60 + part(11)) * (m[9] === "-" ? -60 : 60)
  const seconds = BigInt(date.getTime() / 1000 - offset)
  return timestampOf(seconds * SECOND + BigInt((m[7] ?? "").padEnd(9, "0")))
}

const fraction = (ns: bigint): string => {
  const text = ns.toString().padStart(9, "0").replace(/0+$/, "")
  return text === "" ? "" : `.${text}`
}

/** Whole seconds before a point in time, and the nanoseconds after. */
const split = (ns: bigint): readonly [bigint, bigint] => {
  const rest = ((ns % SECOND) + SECOND) % SECOND
  return [(ns - rest) / SECOND, rest]
}

/** Writes RFC 3339 in UTC. */
export const formatTimestamp = (t: Timestamp): string => {
  const [seconds, rest] = split(t.ns)
  const iso = new Date(Number(seconds) * 1000).toISOString()
  return `${iso.slice(0, 19)}${fraction(rest)}Z`
}

const UNITS: Readonly<Record<string, bigint>> = {
  h: 3600n * SECOND,
  m: 60n * SECOND,
  s: SECOND,
  ms: 1_000_000n,
  us: 1000n,
  µs: 1000n,
  μs: 1000n,
  ns: 1n
}
const PIECE = /(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|μs|ns|m|s)/y

/** Reads `1h30m`, `1.5s`, `-100ms`; undefined when the text is none. */
export const parseDuration = (text: string): Duration | undefined => {
  if (text.length > 64) return undefined
  const signed = /^[+-]/.test(text)
  if (/^[+-]?0$/.test(text)) return new Duration(0n)
  let pos = signed ? 1 : 0
  if (pos === text.length) return undefined
  let total = 0n
  while (pos < text.length) {
    PIECE.lastIndex = pos
    const m = PIECE.exec(text)
    if (m === null) return undefined
    const unit = UNITS[m[2] ?? ""] ?? 0n
    const [whole = "", decimals = ""] = (m[1] ?? "").split(".")
    total += BigInt(whole === "" ? "0" : whole) * unit
    if (decimals !== "") total += (BigInt(decimals) * unit) / 10n ** BigInt(decimals.length)
    pos += m[0].length
  }
  return durationOf(text.startsWith("-") ? -total : total)
}

/** Writes seconds, as in `1.5s`. */
export const formatDuration = (d: Duration): string => {
  const ns = d.ns < 0n ? -d.ns : d.ns
  return `${d.ns < 0n ? "-" : ""}${ns / SECOND}${fraction(ns % SECOND)}s`
}

const zones = new Map<string, Intl.DateTimeFormat>()
const MAX_ZONES = 64

const zone = (name: string): Intl.DateTimeFormat | undefined => {
  const known = zones.get(name)
  if (known !== undefined) return known
  if (name.length > 64) return undefined
  try {
    const made = new Intl.DateTimeFormat("en-US", {
      timeZone: name,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric"
    })
    if (zones.size >= MAX_ZONES) zones.clear()
    zones.set(name, made)
    return made
  } catch {
    return undefined
  }
}

/** Milliseconds to add to UTC at a time in a zone: `UTC`, `+02:00`, `Europe/Berlin`. */
const offsetMs = (ms: number, name: string): number | undefined => {
  if (name === "" || name === "UTC" || name === "Z") return 0
  const fixed = /^([+-]?)(\d{2}):(\d{2})$/.exec(name)
  if (fixed !== null) {
    return (Number(fixed[2]) * 60 + Number(fixed[3])) * (fixed[1] === "-" ? -60_000 : 60_000)
  }
  const format = zone(name)
  if (format === undefined) return undefined
  const parts: Record<string, number> = {}
  for (const { type, value } of format.formatToParts(ms)) parts[type] = Number(value)
  const local = new Date(0)
  local.setUTCFullYear(parts["year"] ?? 0, (parts["month"] ?? 1) - 1, parts["day"] ?? 1)
  local.setUTCHours(parts["hour"] ?? 0, parts["minute"] ?? 0, parts["second"] ?? 0)
  return local.getTime() - Math.floor(ms / 1000) * 1000
}

const DAY_MS = 86_400_000

/** A part of a timestamp in a zone; undefined when the zone is unknown. */
export const datePart = (t: Timestamp, part: string, zoneName: string): number | undefined => {
  const [seconds, rest] = split(t.ns)
  const ms = Number(seconds) * 1000 + Number(rest / 1_000_000n)
  const offset = offsetMs(ms, zoneName)
  if (offset === undefined) return undefined
  const d = new Date(ms + offset)
  switch (part) {
    case "getFullYear":
      return d.getUTCFullYear()
    case "getMonth":
      return d.getUTCMonth()
    case "getDate":
      return d.getUTCDate()
    case "getDayOfMonth":
      return d.getUTCDate() - 1
    case "getDayOfWeek":
      return d.getUTCDay()
    case "getDayOfYear": {
      const start = new Date(0)
      start.setUTCFullYear(d.getUTCFullYear(), 0, 1)
      return Math.floor((d.getTime() - start.getTime()) / DAY_MS)
    }
    case "getHours":
      return d.getUTCHours()
    case "getMinutes":
      return d.getUTCMinutes()
    case "getSeconds":
      return d.getUTCSeconds()
    default:
      return d.getUTCMilliseconds()
  }
}

const PER: Readonly<Record<string, bigint>> = {
  getHours: 3600n * SECOND,
  getMinutes: 60n * SECOND,
  getSeconds: SECOND
}

/** A duration in whole hours, minutes, seconds; its milliseconds after the second. */
export const durationPart = (d: Duration, part: string): bigint => {
  const unit = PER[part]
  return unit === undefined ? (d.ns % SECOND) / 1_000_000n : d.ns / unit
}

/** Whole seconds since 1970, rounded down. */
export const epochSeconds = (t: Timestamp): bigint => split(t.ns)[0]
