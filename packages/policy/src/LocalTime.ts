/** The time of day where an organization lives: for allowed hours, allowed days and the roll-over at midnight. */
import { type Weekday, weekdays } from "@agion/domain"

/** A moment in a time zone. */
export interface LocalTime {
  readonly weekday: Weekday
  /** Minutes since midnight, 0 to 1439. */
  readonly minute: number
  /** Seconds within the minute, with a fraction. */
  readonly second: number
  /** The date, `2026-01-31`. */
  readonly date: string
}

const dayMinutes = 1440
const formats = new Map<string, Intl.DateTimeFormat>()

const format = (timeZone: string): Intl.DateTimeFormat => {
  const known = formats.get(timeZone)
  if (known !== undefined) return known
  const made = new Intl.DateTimeFormat("en-CA", {
    timeZone,
    calendar: "gregory",
    hourCycle: "h23",
    weekday: "long",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit"
  })
  formats.set(timeZone, made)
  return made
}

/** The last minute that was asked for, by zone: a formatter costs microseconds, and calls come close together. */
const lastMinute = new Map<string, { readonly minute: number; readonly local: LocalTime }>()

/** The local time of epoch milliseconds. Throws a RangeError when the zone is not known. */
export const at = (epochMillis: number, timeZone: string): LocalTime => {
  const minute = Math.floor(epochMillis / 60_000)
  const second = (epochMillis - minute * 60_000) / 1000
  const last = lastMinute.get(timeZone)
  if (last !== undefined && last.minute === minute) return { ...last.local, second }
  const parts: Record<string, string> = {}
  for (const { type, value } of format(timeZone).formatToParts(minute * 60_000)) parts[type] = value
  const local: LocalTime = {
    weekday: weekdays.find((day) => day === parts["weekday"]?.toLowerCase()) ?? "monday",
    minute: Number(parts["hour"]) * 60 + Number(parts["minute"]),
    second,
    date: `${parts["year"]}-${parts["month"]}-${parts["day"]}`
  }
  lastMinute.set(timeZone, { minute, local })
  return local
}

/** `09:05`. */
export const clock = (local: LocalTime): string =>
  `${String(Math.floor(local.minute / 60)).padStart(2, "0")}:${String(local.minute % 60).padStart(2, "0")}`

const minutesOf = (text: string): number => Number(text.slice(0, 2)) * 60 + Number(text.slice(3, 5))

const inHours = (minute: number, hours: string | null): boolean => {
  if (hours === null) return true
  const [from = "00:00", to = "24:00"] = hours.split("-")
  const start = minutesOf(from)
  const end = minutesOf(to)
  if (start === end) return true
  return start < end ? minute >= start && minute < end : minute >= start || minute < end
}

/** True within allowed hours ("22:00-06:00" wraps over midnight) on an allowed day; null allows all. */
export const isWithin = (
  local: LocalTime,
  hours: string | null,
  days: ReadonlyArray<Weekday> | null
): boolean => (days === null || days.includes(local.weekday)) && inHours(local.minute, hours)

/** Milliseconds until the hours and days allow, as far as a clock without summer time tells; null: never. */
export const untilWithin = (
  local: LocalTime,
  hours: string | null,
  days: ReadonlyArray<Weekday> | null
): number | null => {
  const today = weekdays.indexOf(local.weekday)
  const start = hours === null ? 0 : minutesOf(hours)
  for (let ahead = 0; ahead <= 7; ahead++) {
    const weekday = weekdays[(today + ahead) % 7]
    if (weekday === undefined || (days !== null && !days.includes(weekday))) continue
    // A day opens at midnight or at the start of its hours, whichever comes first after now.
    for (const minute of [0, start]) {
      const wait = ahead * dayMinutes + minute - local.minute
      if (wait > 0 && inHours(minute, hours)) return Math.ceil(wait * 60_000 - local.second * 1000)
    }
  }
  return null
}

/** Milliseconds until the next local midnight. */
export const untilMidnight = (local: LocalTime): number =>
  Math.ceil((dayMinutes - local.minute) * 60_000 - local.second * 1000)
